// Keeps the page up to date. Without it the page is as it was when it was asked for.
"use strict";
const main = document.querySelector("main");
const note = document.getElementById("live");
// Nothing heard for so long means that the node is gone: it speaks every five seconds.
const SILENCE_MS = 12_000;
const AGAIN_MS = 2_000;
const clock = (ms) => new Date(Number(ms)).toISOString().slice(11, 19) + " UTC";

// Changes `old` where `now` differs, and nothing else: what is focused, selected, opened or read out stays.
const become = (old, now) => {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!now.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  let at = old.firstChild;
  for (const child of [...now.childNodes]) {
    const same = child.id ? [...old.children].find((one) => one.id === child.id) : at;
    const alike = same && same.nodeName === child.nodeName && (same.id ?? "") === (child.id ?? "");
    if (!alike) {
      old.insertBefore(child, at);
      continue;
    }
    while (at !== same) at = dropped(at);
    at = same.nextSibling;
    become(same, child);
  }
  while (at) at = dropped(at);
};
const dropped = (node) => {
  const next = node.nextSibling;
  node.remove();
  return next;
};

let heard = Date.now();
let at = "";
const live = (ms) => {
  heard = Date.now();
  at = clock(ms);
  note.textContent = `Live, ${at}`;
  document.body.classList.remove("stale");
};
// An old picture must not be taken for a live one.
const stale = () => {
  document.body.classList.add("stale");
  note.textContent = at
    ? `Connection to this node lost. What is shown is as of ${at}.`
    : "Not live: this node sends nothing. What is shown is as of when the page was opened.";
};

let source;
const listen = () => {
  source?.close();
  source = new EventSource("live");
  source.onmessage = (event) => {
    const now = document.createElement("main");
    now.innerHTML = event.data;
    become(main, now);
    const health = document.querySelector(".badges li")?.textContent ?? "";
    document.title = `${health.trim()}: ${document.querySelector("h1").textContent}`;
    live(event.lastEventId);
  };
  source.addEventListener("same", (event) => live(event.data));
  source.onerror = stale;
};
listen();
// Whoever has to show the token again is asked for it; whatever else is wrong, the old picture stays.
const asked = (answer) => {
  if (answer.status === 401) location.reload();
};
setInterval(() => {
  const silent = Date.now() - heard > SILENCE_MS;
  if (silent) stale();
  // A node that had too many readers is asked again; a browser does not do that by itself.
  if (silent || source.readyState === EventSource.CLOSED) {
    fetch("./", { method: "HEAD" }).then(asked, () => {});
    heard = Date.now();
    listen();
  }
}, AGAIN_MS);
