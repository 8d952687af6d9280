// Text whose tokens are coloured by a value, and what each layer would answer as a table.
import { el, fill } from "./dom.js";
import { cellText, finite, num, reachOf, token } from "./picture-data.js";
import { legend, readout, roving, tint } from "./picture-draw.js";

const MOST_TOKENS = 600; // of one line

export function tokenLines(spec) {
  const values = spec.lines.flatMap((one) => one.values).filter((value) => finite(value) !== null);
  const reach = spec.reach ?? reachOf(values, 1e-9);
  const told = readout("Point at a token, or go there with the arrow keys, to read its value.");
  const about = new Map(), items = [];
  const lines = spec.lines.map((one) => {
    const made = one.tokens.slice(0, MOST_TOKENS).map((text, at) => {
      const isPeak = at === one.peak && one.values[at] !== 0;
      const box = el("span", { class: isPeak ? "tok peak" : "tok", role: "img",
        "aria-label": `${token(text, 60)}: ${num(one.values[at])}${isPeak ? ", the peak" : ""}${one.marks?.[at] ? `, ${one.marks[at]}` : ""}` },
        el("bdi", { class: "tok-text" }, token(text)), el("span", { class: "tok-value" }, isPeak && "▲", cellText(one.values[at])),
        one.marks?.[at] && el("span", { class: "tok-mark" }, one.marks[at]));
      about.set(box, [`${at} ${token(text, 200)}: ${num(one.values[at])} (${spec.unit})`, isPeak && ", the peak", one.notes?.[at] && `; ${one.notes[at]}`]);
      items.push(box);
      return tint(box, one.values[at], reach);
    });
    return el("div", { class: "tokens", role: "group", "aria-label": one.name || "Tokens" }, made,
      one.tokens.length > made.length && el("span", { class: "quiet" }, `… ${one.tokens.length - made.length} more tokens`));
  });
  const place = el("div", {}, lines);
  roving(place, items, 1, Math.max(0, spec.lines[0]?.peak ?? 0), (item) => { fill(told, about.get(item)); });
  return [place, legend(reach, spec.unit, spec.signed), told];
}

export function lensTable(spec) {
  const n = spec.rows.reduce((found, row) => Math.max(found, row.top.length), 0);
  const cell = ([text, p]) => tint(el("td", { class: "heat" }, el("bdi", { class: "tok-text" }, text),
    el("span", { class: "tok-value" }, p > 0 && p < 0.005 ? "<0.01" : cellText(p))), p, 1);
  const tracked = ([p, rank]) => tint(el("td", { class: "heat" }, el("span", {}, num(p)), el("span", { class: "tok-value" }, `rank ${num(rank)}`)), p, 1);
  const heads = [...spec.words.map((word) => `“${word}”`), ...[...Array(n).keys()].map((i) => (i ? `${i + 1}.` : "most likely"))];
  const empty = (row) => [...Array(n - row.top.length)].map(() => el("td", {}, "–"));
  return [
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": spec.title },
      el("table", { class: "heat-map lens" }, el("caption", { class: "unseen" }, spec.title),
        el("thead", {}, el("tr", {}, el("td"), heads.map((head) => el("th", { scope: "col" }, head)))),
        el("tbody", {}, spec.rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.name), row.tracked.map(tracked), row.top.map(cell),
          empty(row)))))),
    legend(1, spec.unit, false),
  ];
}

// One of several pictures, drawn when it is chosen. `draw`: makes elements of a picture.
export function chosen(spec, draw) {
  const place = el("div");
  const select = el("select", {}, spec.names.map((name, i) => el("option", { value: i }, name)));
  const show = () => {
    const one = spec.make(Number(select.value));
    fill(place, one.title !== spec.title && el("p", { class: "picture-part" }, one.title), one.says && el("p", { class: "quiet" }, one.says), draw(one));
  };
  select.addEventListener("change", show);
  show();
  return [el("p", {}, el("label", {}, `${spec.label} `, select)), place];
}
