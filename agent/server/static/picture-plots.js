// Dots beside their controls, bars, and curves of two things over one axis.
import { el, fill } from "./dom.js";
import { cut, finite, least, most, num } from "./picture-data.js";
import { drawing, readout, roving, scaleOf, shape, words } from "./picture-draw.js";

const WIDTH = 330, PANEL = 300, ROW = 44, MOST_DOTS = 150;
const MOST_BARS = 15, FEW_MORE = 4;

const diamond = (x, y) => shape("path", { class: "mark control", d: `M${(x - 3.4).toFixed(1)} ${y}l3.4 -3.4 3.4 3.4 -3.4 3.4z` });
const spread = (i, n) => (n > 1 ? (((i * 7) % 5) - 2) * 2.4 : 0); // dots on one spot would hide each other

// Of very many every n-th: a picture cannot tell more of them apart.
function few(values) {
  const by = Math.ceil(values.length / MOST_DOTS);
  return by > 1 ? values.filter((_, i) => i % by === 0) : values;
}

function span(values) {
  return values.length > 1 ? `${num(least(values))} to ${num(most(values))}` : num(values[0]);
}

function rowText(row) {
  const parts = [`${row.name}: ${num(row.mean)}`];
  if (row.values.length > 1) parts.push(`mean of ${row.values.length}, ${span(row.values)}`);
  if (row.control.length) parts.push(`${row.control.length} random controls, ${span(row.control)}`);
  return parts.join("; ");
}

function guides(scale, top, bottom) {
  return scale.ticks.map((tick) => [shape("line", { class: tick === 0 ? "zero" : "grid", x1: scale(tick), x2: scale(tick), y1: top, y2: bottom }),
    words(num(tick), scale(tick), bottom + 13, "tick", "middle")]);
}

export function dotRows(spec) {
  const scale = scaleOf(spec.rows.flatMap((row) => [...row.values, ...row.control, row.mean]), 14, WIDTH - 14, spec.include);
  const bottom = 6 + ROW * spec.rows.length;
  const told = readout("Point at a row, or go there with the arrow keys, to read it in words.");
  const items = spec.rows.map((row, i) => {
    const top = 6 + ROW * i, y = top + 28;
    return shape("g", { role: "img", "aria-label": rowText(row), class: "dots-row" },
      shape("rect", { class: "hit", x: 1, y: top, width: WIDTH - 2, height: ROW - 2, rx: 4 }), words(cut(row.name, 40), 14, top + 13, "label"),
      words(num(row.mean), WIDTH - 14, top + 13, "value", "end"),
      few(row.control).map((value, k, all) => diamond(scale(value), y + spread(k, all.length))),
      few(row.values).map((value, k, all) => shape("circle", { class: "mark", cx: scale(value), cy: y + spread(k, all.length), r: 2.8 })),
      finite(row.mean) !== null && shape("line", { class: "mean", x1: scale(row.mean), x2: scale(row.mean), y1: y - 9, y2: y + 9 }));
  });
  const picture = drawing(WIDTH, bottom + 34, spec.title, guides(scale, 4, bottom), items, words(spec.unit, WIDTH / 2, bottom + 29, "axis", "middle"));
  roving(picture, items, 1, 0, (item) => { fill(told, item.getAttribute("aria-label")); });
  return [picture, told];
}

// A bar is a part of its row's width; of signed ones nothing is in the middle.
function bar(row, reach, isSigned) {
  const track = el("span", { class: isSigned ? "track signed" : "track", "aria-hidden": "true" }), value = finite(row.value);
  if (value === null || !reach) return track;
  const filled = el("span", { class: value < 0 ? "filled below" : "filled above" });
  const share = Math.min(100, (100 * Math.abs(value)) / reach) / (isSigned ? 2 : 1);
  filled.style.setProperty("width", `${share}%`);
  filled.style.setProperty("left", isSigned ? `${value < 0 ? 50 - share : 50}%` : "0");
  track.append(filled);
  return track;
}

export function bars(spec) {
  const reach = Math.max(spec.include ?? 0, most([0, ...spec.rows.map((row) => Math.abs(finite(row.value) ?? 0))]));
  const line = (row) => el("tr", {}, el("th", { scope: "row", dir: "auto" }, row.name), el("td", { class: "bar-cell" }, bar(row, reach, spec.signed)),
    el("td", { class: "num" }, num(row.value)), spec.extra && el("td", { dir: "auto" }, row.extra));
  const head = el("thead", {}, el("tr", {}, el("td"), el("td", { "aria-hidden": "true" }), el("th", { scope: "col" }, spec.unit),
    spec.extra && el("th", { scope: "col" }, spec.extra)));
  const shown = spec.rows.length <= MOST_BARS + FEW_MORE ? spec.rows.length : MOST_BARS, rest = spec.rows.slice(shown);
  const body = el("tbody", {}, spec.rows.slice(0, shown).map(line));
  const table = el("table", { class: "bars" }, el("caption", { class: "unseen" }, `${spec.title} (${spec.unit})`), head, body);
  const more = rest.length > 0 && el("button", { type: "button", class: "link",
    click: () => { body.append(...rest.slice(0, 300).map(line)); more.remove(); } }, `${rest.length} more`);
  return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": spec.title }, table), more];
}

const HIGH = 130, TOP = 24, LEFT = 44;

function panel(one, spec, left, width) {
  const right = left + width - 12, inner = left + LEFT;
  const scale = scaleOf([...one.values, ...one.cloud.flat()], TOP + HIGH, TOP, [one.include]);
  const step = (right - inner - 24) / Math.max(1, spec.x.length - 1);
  const at = (i) => (spec.x.length > 1 ? inner + 12 + step * i : (inner + right) / 2);
  const points = one.values.map((value, i) => (value === null ? null : [at(i), scale(value)])).filter(Boolean);
  const every = Math.ceil(spec.x.length / 6);
  return [
    words(one.unit, left + 4, 13, "axis"),
    scale.ticks.map((tick) => [shape("line", { class: tick === one.include ? "zero" : "grid", x1: inner, x2: right, y1: scale(tick), y2: scale(tick) }),
      words(num(tick), inner - 5, scale(tick) + 4, "tick", "end")]),
    spec.x.map((name, i) => i % every === 0 && words(cut(name, 8), at(i), TOP + HIGH + 15, "tick", "middle")),
    one.cloud.map((some, i) => few(some).map((value) => diamond(at(i) + 7, scale(value)))),
    points.length > 1 && shape("polyline", { class: "curve", points: points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ") }),
    one.values.map((value, i) => value !== null && shape("circle", { class: "mark", cx: at(i), cy: scale(value), r: 4, role: "img", "data-point": i,
      "aria-label": pointText(one, spec, i) })),
    words(spec.xName, (inner + right) / 2, TOP + HIGH + 30, "axis", "middle"),
  ];
}

function pointText(one, spec, i) {
  const random = one.cloud[i].length ? `; ${one.cloud[i].length} random directions ${span(one.cloud[i])}` : "";
  return `at ${spec.x[i]}: ${one.unit} ${num(one.values[i])}${random}${spec.notes[i] ? `; ${spec.notes[i]}` : ""}`;
}

export function curves(spec) {
  const told = readout("Point at a dot, or go there with the arrow keys, to read it in words.");
  const drawn = spec.panels.map((one) => drawing(PANEL, TOP + HIGH + 38, `${spec.title}: ${one.name}`, panel(one, spec, 0, PANEL)));
  for (const picture of drawn) {
    const items = [...picture.querySelectorAll("[data-point]")];
    roving(picture, items, 1, 0, (item) => { fill(told, item.getAttribute("aria-label")); });
  }
  const rows = spec.x.map((name, i) => [name, ...spec.panels.flatMap((one) => [num(one.values[i]), one.cloud[i].length ? span(one.cloud[i]) : "–"]),
    spec.notes[i]]);
  const heads = [spec.xName, ...spec.panels.flatMap((one) => [one.unit, "random"]), ""];
  return [
    el("div", { class: "beside" }, drawn),
    told,
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${spec.title}, as a table` },
      el("table", {}, el("caption", { class: "unseen" }, spec.title), el("thead", {},
        el("tr", {}, heads.map((head) => (head ? el("th", { scope: "col" }, head) : el("td"))))),
        el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, j) => (j ? el("td", { class: "num" }, cell) : el("th", { scope: "row" }, cell)))))))),
  ];
}
