// What is wrong with the page as it is shown now, one line each: contrast (WCAG AA), width, names, focus. Run as a function's body.
const faults = [];
const shown = (element) => {
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  const hidden = style.visibility === "hidden" || style.clipPath !== "none" || element.closest("details:not([open]) > :not(summary)");
  return box.width > 0 && box.height > 0 && !hidden;
};
const name = (element) => `${element.nodeName.toLowerCase()}.${element.getAttribute("class") ?? ""} "${element.textContent.trim().slice(0, 40)}"`;

const colour = (text) => {
  const parts = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(text);
  if (!parts) throw new Error(`not a colour that is understood here: ${text}`);
  return [Number(parts[1]), Number(parts[2]), Number(parts[3]), parts[4] === undefined ? 1 : Number(parts[4])];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const background = (element) => {
  if (!element) return [255, 255, 255, 1];
  const own = colour(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own : over(own, background(element.parentElement));
};
const luminance = (c) => {
  const [r, g, b] = c.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
};
const enough = (element, front, least, what) => {
  const back = background(element);
  const found = contrast(over(front, back), back);
  if (found < least) faults.push(`${what} of ${name(element)}: contrast ${found.toFixed(2)}, not ${least}`);
};

let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !shown(element)) continue;
  texts += 1;
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const isDrawn = element instanceof SVGElement;
  enough(element, colour(isDrawn ? style.fill : style.color), large ? 3 : 4.5, "text");
}
if (texts < 20) faults.push(`only ${texts} texts are shown`);

// What carries a meaning without being text.
for (const element of document.querySelectorAll("svg :is(rect, circle, path, line, polygon):not(.quiet)")) {
  if (!shown(element)) continue;
  const style = getComputedStyle(element);
  const back = background(element.closest("svg"));
  // Its area or its edge.
  const seen = [style.fill, style.stroke].filter((paint) => paint !== "none").map((paint) => contrast(over(colour(paint), back), back));
  if (Math.max(...seen) < 3) faults.push(`drawn ${name(element)}: contrast ${seen}, not 3`);
}
for (const element of document.querySelectorAll(".card, .badges li:not(:first-child)")) {
  const style = getComputedStyle(element);
  if (element.matches(".good, .warn, .bad")) enough(element, colour(style.borderLeftColor), 3, "border");
}

const scrolls = (element) => element && (["auto", "scroll"].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
const wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > wide) faults.push(`the page is ${document.documentElement.scrollWidth} wide, not ${wide}`);
for (const element of document.body.querySelectorAll("*")) {
  const right = element.getBoundingClientRect().right;
  if (shown(element) && right > wide + 0.5 && !scrolls(element.parentElement)) faults.push(`${name(element)} ends at ${right}, beyond ${wide}`);
}

const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of ids.filter((id, index) => ids.indexOf(id) !== index)) faults.push(`two elements are #${id}`);
for (const element of document.querySelectorAll("[aria-labelledby]")) {
  if (!document.getElementById(element.getAttribute("aria-labelledby"))) faults.push(`${name(element)} is named after nothing`);
}
for (const element of document.querySelectorAll("[style], [onclick]")) faults.push(`${name(element)} is what the policy refuses`);
for (const element of document.querySelectorAll("svg:not([aria-hidden])")) {
  if (element.getAttribute("role") !== "img" || !element.getAttribute("aria-label")) faults.push(`${name(element)} has no name`);
}
if (document.querySelectorAll("h1").length !== 1) faults.push("there is not one h1");
return faults;
