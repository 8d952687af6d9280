// Numbers over two orders of places, as a table whose cells are coloured; the last layer on top, as layers are drawn.
import { el, fill } from "./dom.js";
import { cellText, finite, num, strongest } from "./picture-data.js";
import { legend, readout, roving, tint } from "./picture-draw.js";

const MOST_NUMBERED = 24; // columns whose cells have room for a number
const MOST_ROWS = 64, MOST_COLUMNS = 96;

// The rows or columns of largest size, in order; of as many as fit all.
function kept(count, most, sizeOf) {
  const every = [...Array(count).keys()];
  if (count <= most) return every;
  return every.map((at) => [sizeOf(at), at]).sort(([a], [b]) => b - a).slice(0, most).map(([, at]) => at).sort((a, b) => a - b);
}

const size = (value) => (finite(value) === null ? 0 : Math.abs(value));
const largest = (values) => values.reduce((found, value) => Math.max(found, size(value)), 0);

export function heatMap(spec) {
  const rows = kept(spec.rows.length, MOST_ROWS, (i) => largest(spec.values[i])).reverse();
  const columns = kept(spec.columns.length, MOST_COLUMNS, (j) => largest(spec.values.map((row) => row[j])));
  const isNumbered = columns.length <= MOST_NUMBERED;
  const places = rows.flatMap((i) => columns.map((j) => [i, j]));
  const best = spec.unmarked ? -1 : strongest(places.map(([i, j]) => spec.values[i][j]));
  const told = readout("Point at a cell, or go there with the arrow keys, to read it in words.");
  const items = places.map(([i, j], at) => {
    const value = spec.values[i][j], text = cellText(value);
    const cell = el("td", { class: at === best ? "heat best" : finite(value) === null ? "heat nothing" : "heat" },
      isNumbered ? [at === best && el("span", { class: "star" }, "★"), text] : el("span", { class: "unseen" }, text));
    return tint(cell, value, spec.reach);
  });
  const say = (item) => {
    const at = items.indexOf(item), [i, j] = places[at];
    const more = [at === best && ", the largest", spec.notes?.[i][j] && `; ${spec.notes[i][j]}`];
    fill(told, `${spec.rows[i]}, ${spec.columns[j]}: ${num(spec.values[i][j])} (${spec.unit})`, more);
  };
  const body = el("tbody", {}, rows.map((i, r) => el("tr", {}, el("th", { scope: "row" }, spec.rows[i]),
    items.slice(r * columns.length, (r + 1) * columns.length))));
  const table = el("table", { class: isNumbered ? "heat-map" : "heat-map dense" }, el("caption", { class: "unseen" }, `${spec.title} (${spec.unit})`),
    el("thead", {}, el("tr", {}, el("td"), columns.map((j) => el("th", { scope: "col" }, el("span", {}, spec.columns[j]))))), body);
  roving(table, items, columns.length, Math.max(0, best), say);
  const left = [[spec.rows, rows, "rows"], [spec.columns, columns, "columns"]].filter(([all, some]) => some.length < all.length)
    .map(([all, some, what]) => `${all.length - some.length} of ${all.length} ${what}`);
  const isSigned = spec.values.some((row) => row.some((value) => value < 0));
  const region = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": spec.title }, table);
  // Once it is on the page: where the map is wider than that, the largest is what to see first.
  requestAnimationFrame(() => {
    if (best >= 0 && region.scrollWidth > region.clientWidth) region.scrollLeft = items[best].offsetLeft - region.clientWidth / 2;
  });
  return [
    region,
    legend(spec.reach, spec.unit, isSigned),
    best >= 0 && el("p", { class: "quiet" },
      `★ largest: ${spec.rows[places[best][0]]}, ${spec.columns[places[best][1]]}, ${num(spec.values[places[best][0]][places[best][1]])}. `,
      left.length > 0 && `Those of least effect are left out: ${left.join(" and ")}.`),
    told,
  ];
}

const BLUE = "47,128,208", ORANGE = "214,120,20"; // seen on light and on dark

// The same as pixels, for what is small or has very many cells. `at`: what it must not be larger than.
export function pixels(values, reach, label) {
  const canvas = el("canvas", { class: "pixels", role: "img", "aria-label": label });
  canvas.width = Math.max(1, largestWidth(values));
  canvas.height = Math.max(1, values.length);
  const pen = canvas.getContext("2d");
  values.forEach((row, i) => row.forEach((value, j) => {
    if (!size(value) || !reach) return;
    pen.fillStyle = `rgba(${value < 0 ? ORANGE : BLUE},${Math.min(1, size(value) / reach)})`;
    pen.fillRect(j, i, 1, 1);
  }));
  return canvas;
}

const largestWidth = (values) => values.reduce((found, row) => Math.max(found, row.length), 0);
