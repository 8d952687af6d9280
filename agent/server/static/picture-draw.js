// What pictures share: shapes, scales, a legend, and one line that tells the value that is pointed at.
import { el, visible } from "./dom.js";
import { finite, num } from "./picture-data.js";

const xmlns="http://www.w3.org/2000/svg"; // a name and no address: nothing is fetched from it

// shape("circle", {cx: 3}, …): as `el`, but of a drawing.
export function shape(name, attributes = {}, ...content) {
  const made = document.createElementNS(xmlns, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(key, typeof value === "number" ? String(Math.round(value * 100) / 100) : visible(value));
  }
  for (const part of content.flat(Infinity)) if (part) made.append(part instanceof Node ? part : document.createTextNode(visible(part)));
  return made;
}

export function drawing(width, height, label, ...content) {
  return shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label, class: "plot" }, content);
}

export const words = (text, x, y, style = "tick", anchor = "start") => shape("text", { class: style, x, y, "text-anchor": anchor }, text);

// Round numbers within a range: as few as three will do.
function ticksOf(low, high) {
  const power = 10 ** Math.floor(Math.log10(high - low));
  for (const step of [power, power / 2, power / 5, power / 10]) {
    const first = Math.ceil(low / step), n = Math.floor(high / step) - first + 1;
    if (n >= 3) return [...Array(n).keys()].map((i) => Number(((first + i) * step).toPrecision(6)));
  }
  return [];
}

// Maps numbers onto a stretch; its ticks are round numbers.
export function scaleOf(values, start, end, include = []) {
  const all = [...values, ...include].filter((value) => finite(value) !== null);
  let low = all.reduce((a, b) => Math.min(a, b), Infinity), high = all.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!all.length) [low, high] = [0, 1];
  if (high - low < 1e-9 * Math.max(1, Math.abs(high))) [low, high] = [low - 0.5, high + 0.5];
  const margin = 0.04 * (high - low);
  [low, high] = [low - margin, high + margin];
  const at = (value) => start + (end - start) * ((Math.min(Math.max(value, low), high) - low) / (high - low));
  at.ticks = ticksOf(low, high);
  return at;
}

// One line below a picture that says what is pointed at or has the focus.
export function readout(hint) {
  return el("p", { class: "readout", "aria-live": "polite" }, hint);
}

// How strongly a value is coloured; the style sheet has the two colours.
export function tint(node, value, reach) {
  if (finite(value) === null || reach === 0) return node;
  node.classList.add(value < 0 ? "below" : "above");
  node.style.setProperty("--heat", `${Math.round(100 * Math.min(1, Math.abs(value) / reach))}%`);
  return node;
}

export function legend(reach, unit, isSigned) {
  const ramp = (side) => el("span", { class: `ramp ${side}`, "aria-hidden": "true" });
  return el("p", { class: "legend" }, isSigned && [num(-reach), ramp("below-0")], "0", ramp("above-0"), num(reach), el("span", { class: "quiet" }, unit));
}

// Tab reaches one of many; the arrow keys go on from there. `tell` is called with what is pointed at or has the focus.
export function roving(parent, items, columns, start, tell) {
  const places = new Map(items.map((item, at) => [item, at]));
  const of = (event) => items[places.get(event.target.closest("[data-cell]"))];
  const go = (at) => {
    for (const item of items) if (item.tabIndex === 0) item.tabIndex = -1;
    items[at].tabIndex = 0;
    items[at].focus();
  };
  for (const item of items) {
    item.dataset.cell = "";
    item.tabIndex = -1;
  }
  if (items.length) items[Math.max(0, start)].tabIndex = 0;
  parent.addEventListener("focusin", (event) => of(event) && tell(of(event)));
  parent.addEventListener("pointerover", (event) => of(event) && tell(of(event)));
  parent.addEventListener("keydown", (event) => {
    const at = places.get(event.target.closest("[data-cell]"));
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: items.length - 1 - at }[event.key];
    if (at === undefined || by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (items[at + by]) go(at + by);
  });
}
