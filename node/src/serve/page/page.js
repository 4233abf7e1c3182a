// Keeps the page up to date. Without it the page is as it was when it was asked for.
"use strict";
const main = document.querySelector("main");
const note = document.getElementById("live");
const clock = (ms) => new Date(Number(ms)).toISOString().slice(11, 19) + " UTC";
const open = () => new Set([...document.querySelectorAll("details[open]")].map((d) => d.id));

const live = new EventSource("live");
live.onmessage = (event) => {
  const opened = open();
  const focused = document.activeElement?.closest("details")?.id;
  main.innerHTML = event.data;
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.querySelector("summary")?.focus();
  const health = document.querySelector(".badges li")?.textContent ?? "";
  document.title = `${health.trim()}: ${document.querySelector("h1").textContent}`;
  note.textContent = `Live, ${clock(event.lastEventId)}`;
};
live.addEventListener("same", (event) => { note.textContent = `Live, ${clock(event.data)}`; });
live.onerror = () => { note.textContent += note.textContent.endsWith("lost") ? "" : " · connection to the node lost"; };
