// Plain data as a tree that is drawn as far as it is opened: results can hold a hundred thousand numbers.
import { el, put } from "./dom.js";

const AT_ONCE = 50;

function told(value) {
  if (Array.isArray(value)) return `list of ${value.length}`;
  return `${Object.keys(value).length} fields`;
}

function leaf(value) {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

// Steps of a path as far as they lead: `cells.-1.drops.mean` ends before `mean`, which is no value but made of some.
export function stepsTo(data, path) {
  const steps = [];
  for (let step of path.split(".")) {
    if (data === null || typeof data !== "object") break;
    if (Array.isArray(data) && /^-\d+$/.test(step)) step = String(data.length + Number(step));
    if (!Object.hasOwn(data, step) || (Array.isArray(data) && step === "length")) break;
    steps.push(step);
    data = data[step];
  }
  return steps;
}

function node(key, value, steps) {
  const isHere = steps !== null && steps.length === 0;
  const name = el("span", { class: isHere ? "key here" : "key" }, `${key}: `);
  if (value === null || typeof value !== "object") {
    return el("li", {}, name, el("span", { class: isHere ? "here" : null, dir: "auto" }, leaf(value)));
  }
  const details = el("details", {}, el("summary", {}, name, told(value)));
  const draw = () => {
    if (details.children.length === 1) details.append(list(value, steps));
  };
  details.addEventListener("toggle", draw);
  if (steps !== null) {
    draw();
    details.open = true;
  }
  return el("li", {}, details);
}

function list(value, steps) {
  const keys = Object.keys(value), made = el("ul");
  let drawn = 0;
  const more = el("button", { type: "button", class: "link" });
  const draw = (until) => {
    more.remove();
    for (; drawn < Math.min(until, keys.length); drawn++) {
      const key = keys[drawn], leads = steps !== null && steps[0] === key;
      put(made, node(key, value[key], leads ? steps.slice(1) : null));
    }
    if (drawn < keys.length) {
      more.textContent = `${keys.length - drawn} more`;
      made.append(more);
    }
  };
  more.addEventListener("click", () => draw(drawn + 10 * AT_ONCE));
  draw(Math.max(AT_ONCE, steps?.length ? keys.indexOf(steps[0]) + 1 : 0));
  return made;
}

// `path`: of the value to open the tree at; none to leave it closed below the top.
export function tree(data, path = "") {
  const steps = path ? stepsTo(data, path) : [];
  return el("div", { class: "tree" }, list(data, steps.length ? steps : null));
}
