// Tables of any length in pages, so that a thousand rows cost nothing before somebody looks at them.
import { el, fill, put, visible } from "./dom.js";

const A_PAGE = 100; // rows

// `row(i)`: cells of a row, text or elements. Asked again, the same place shows the first page of the new rows.
export function paged(place, caption, heads, count, row) {
  let start = 0;
  const told = el("span", { class: "quiet", role: "status" });
  const before = el("button", { type: "button", click: () => turn(-A_PAGE) }, "Previous"), after = el("button", { type: "button", click: () => turn(A_PAGE) }, "Next");
  const body = el("tbody");
  const frame = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), body));
  const pager = el("div", { class: "pager" }, before, after, told);

  function turn(by) {
    start += by;
    const end = Math.min(count, start + A_PAGE);
    const rows = Array.from({ length: end - start }, (_, i) => el("tr", {}, row(start + i).map((cell) => el("td", { dir: "auto" }, cell))));
    fill(body, rows);
    before.disabled = start === 0;
    after.disabled = end === count;
    told.textContent = count ? `${start + 1} to ${end} of ${count}` : "none";
  }

  turn(0);
  pager.hidden = count <= A_PAGE;
  fill(place, frame, pager);
}

export const figure = (value) => (value === null || value === undefined ? "" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? String(Number(value.toPrecision(4))) : value === 0 ? "0" : value.toExponential(2));

export function shortened(text, most = 80) {
  const shown = visible(text);
  return shown.length > most ? `${shown.slice(0, most)}…` : shown;
}

export function listed(items, ...content) {
  const list = el("ul", ...content);
  put(list, items.map((item) => el("li", {}, item)));
  return list;
}
