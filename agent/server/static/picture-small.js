// Pictures of 160 pixels at most, for cards: nothing to operate, and the whole told to who does not see them.
import { el, visible } from "./dom.js";
import { cut, finite, num } from "./picture-data.js";
import { drawing, scaleOf, shape, words } from "./picture-draw.js";
import { pixels } from "./picture-maps.js";
import { bars } from "./picture-plots.js";

const WIDTH = 300, ROW = 26, MOST_ROWS = 4, MOST_TOKENS = 24;

function rows(spec) {
  const shown = spec.rows.slice(0, MOST_ROWS), scale = scaleOf(shown.flatMap((row) => [...row.values, ...row.control, row.mean]), 8, WIDTH - 8, spec.include);
  const bottom = ROW * shown.length + 4;
  const guide = (tick) => [shape("line", { class: tick === 0 ? "zero" : "grid", x1: scale(tick), x2: scale(tick), y1: 2, y2: bottom }),
    words(num(tick), scale(tick), bottom + 12, "tick", "middle")];
  const picture = drawing(WIDTH, bottom + 14, spec.title, scale.ticks.map(guide),
    shown.map((row, i) => [
      row.control.slice(0, 60).map((value) => shape("circle", { class: "mark control", cx: scale(value), cy: ROW * i + 18, r: 2 })),
      row.values.slice(0, 60).map((value) => shape("circle", { class: "mark", cx: scale(value), cy: ROW * i + 18, r: 2.4 })),
      finite(row.mean) !== null && shape("line", { class: "mean", x1: scale(row.mean), x2: scale(row.mean), y1: ROW * i + 12, y2: ROW * i + 24 }),
      words(cut(row.name, 30), 8, ROW * i + 10, "tick label"), words(num(row.mean), WIDTH - 8, ROW * i + 10, "value", "end")]));
  return told(picture, `${spec.title} (${spec.unit}): ${shown.map((row) => `${row.name} ${num(row.mean)}`).join("; ")}`);
}

function told(picture, label) {
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", visible(label));
  return picture;
}

function map(spec) {
  let best = [0, 0];
  const size = ([i, j]) => Math.abs(finite(spec.values[i][j]) ?? 0);
  spec.values.forEach((row, i) => row.forEach((_, j) => { if (size([i, j]) > size(best)) best = [i, j]; }));
  const [i, j] = best, says = `largest ${num(spec.values[i][j])}: ${spec.rows[i]}, ${spec.columns[j]}`;
  return el("div", {}, pixels([...spec.values].reverse(), spec.reach,
    `${spec.title}: ${spec.rows.length} rows of ${spec.columns.length}, in ${spec.unit}; ${says}`),
    el("p", { class: "quiet", "aria-hidden": "true" }, cut(says, 40)));
}

function tokens(spec) {
  const one = spec.lines[0], at = Math.max(0, one.peak), from = Math.max(0, at - MOST_TOKENS / 2);
  const shown = { ...one, tokens: one.tokens.slice(from, from + MOST_TOKENS), values: one.values.slice(from, from + MOST_TOKENS) };
  const marks = shown.tokens.map((text, i) => {
    const box = el("bdi", { class: "tok-small" }, cut(String(text).trim() || "␣", 12));
    const value = finite(shown.values[i]), peak = Math.abs(finite(one.values[one.peak]) ?? 0);
    if (value !== null && peak > 0) {
      box.classList.add(value < 0 ? "below" : "above");
      box.style.setProperty("--heat", `${Math.round((100 * Math.abs(value)) / peak)}%`);
    }
    return [box, " "];
  });
  return el("p", { class: "small-tokens" }, marks, el("span", { class: "quiet" }, one.peak >= 0 ? `up to ${num(one.values[one.peak])} (${spec.unit})` : ""));
}

function curve(spec) {
  const [first, second] = spec.panels, half = WIDTH / 2;
  const line = (one, left) => {
    const scale = scaleOf(one.values, 84, 18, [one.include]), step = (half - 30) / Math.max(1, spec.x.length - 1);
    const points = one.values.map((value, i) => (value === null ? null : [left + 14 + step * i, scale(value)])).filter(Boolean);
    return [words(one.name, left + 4, 10, "tick"), shape("line", { class: "zero", x1: left + 8, x2: left + half - 8, y1: scale(one.include),
      y2: scale(one.include) }),
      points.length > 1 && shape("polyline", { class: "curve", points: points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" ") }),
      points.map(([cx, cy]) => shape("circle", { class: "mark", cx, cy, r: 2.6 }))];
  };
  const label = spec.x.map((name, i) => `at ${name} effect ${num(first.values[i])}, perplexity ratio ${num(second.values[i])}`).join("; ");
  return told(drawing(WIDTH, 92, "", line(first, 0), line(second, half)), `${spec.title}: ${label}`);
}

function table(spec) {
  const shown = spec.rows.filter((row) => row.top.length);
  return el("p", { class: "small-tokens" }, shown.slice(-6).map((row) => [el("span", { class: "quiet" }, `${row.name}: `), el("bdi", {}, row.top[0][0]),
    ` ${num(row.top[0][1])}; `]));
}

const SMALL = {
  map, dots: rows, tokens, curves: curve, lens: table,
  bars: (spec) => bars({ ...spec, extra: null, rows: spec.rows.slice(0, MOST_ROWS) })[0].firstElementChild,
  attention: (spec) => el("div", { class: "heads" }, spec.heads.slice(0, 12).map((head) => pixels(head.pattern, 1, `Pattern of head ${head.name}`))),
  choice: (spec) => small(spec.make(0)),
};

function small(spec) {
  return SMALL[spec.kind](spec);
}

// Of maps of one measurement the first few beside each other; of all else the first.
export function smallFigure(specs) {
  const [first] = specs, shown = first.kind === "map" ? specs.filter((spec) => spec.kind === "map").slice(0, 3) : [first];
  return el("figure", { class: `picture small of-${first.kind}` }, el("figcaption", {}, cut(shown.length > 1 ? first.title.split(": ")[0] : first.title, 90)),
    el("div", { class: "row" }, shown.map(small)));
}
