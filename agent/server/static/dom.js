// Elements whose content is text: nothing here, or anywhere on these pages, makes markup of a string.

// What a reader could not see, or what would reorder what stands beside it, is shown by its code point. Joiners stay:
// scripts and emoji need them.
const HIDDEN = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

export function visible(text) {
  return String(text).replace(HIDDEN, (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));
}

// el("p", {class: "quiet"}, "text", element, …)
export function el(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key, value);
    else made.setAttribute(key, value === true ? "" : visible(value));
  }
  put(made, ...content);
  return made;
}

export function put(parent, ...content) {
  for (const part of content.flat(Infinity)) {
    if (part === null || part === undefined || part === false) continue;
    parent.append(part instanceof Node ? part : document.createTextNode(visible(part)));
  }
}

export function fill(parent, ...content) {
  parent.replaceChildren();
  put(parent, ...content);
}

export function badge(word, kind = word) {
  return el("span", { class: "badge " + kind }, word);
}

export function when(iso) {
  const time = new Date(iso);
  return Number.isNaN(time.valueOf()) ? iso : time.toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

export function table(heads, rows, caption) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", { dir: "auto" }, cell)))))));
}

// For what is no control: where the focus was has gone, and a keyboard goes on from here.
export function focusOn(element) {
  element.tabIndex = -1;
  element.focus();
}

// Escape empties a field that is searched with, where it would else be emptied unheard, and leaves it. The focus goes on
// to what `after` names, so that it is never lost.
function leaveField(field, after) {
  if (field.type === "search" && field.value) {
    field.value = "";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  field.blur();
  after()?.focus();
}

// Single keys, which a person can switch off (speech input may press them), and never while somebody types.
export function onKeys(actions, after = () => null) {
  const box = document.getElementById("keys");
  box.checked = localStorage.getItem("vesalius-keys") !== "off";
  box.addEventListener("change", () => localStorage.setItem("vesalius-keys", box.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape" && field && !event.isComposing) leaveField(field, after);
    if (field || !box.checked || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  });
}
