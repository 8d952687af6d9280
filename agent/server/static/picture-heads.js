// Where heads look: one small map a head to choose from, the chosen head's map, and its text coloured from one token.
import { el, fill } from "./dom.js";
import { cellText, num } from "./picture-data.js";
import { readout, roving, tint } from "./picture-draw.js";
import { heatMap, pixels } from "./picture-maps.js";

const MOST_IN_TABLE = 32; // tokens; maps of more are drawn as pixels, and read in the text
const MOST_LOOKS = 12;

const labelled = (spec) => spec.tokens.map((text, at) => `${at} ${text}`);

// What a head does most, of the shares of attention that have a name.
function habit(head) {
  const shares = head.scores.filter(([words]) => !words.startsWith("entropy"));
  if (!shares.length) return "";
  const best = shares.reduce((a, b) => (b[2] > a[2] ? b : a));
  return `${best[0]}: ${best[1]}`;
}

function scores(head) {
  const rows = head.scores.map(([words, value, , uniform]) => el("tr", {}, el("th", { scope: "row" }, words), el("td", { class: "num" }, value),
    el("td", { class: "num" }, uniform)));
  return el("table", { class: "bars" }, el("caption", {}, "How it looks, in the mean over tokens behind the first"),
    el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col" }, "this head"), el("th", { scope: "col" }, "a head that looks at all alike"))),
    el("tbody", {}, rows));
}

function looks(spec, head) {
  const names = labelled(spec);
  const all = head.pattern.flatMap((row, query) => row.map((value, key) => [value, query, key])).filter(([value, query]) => value > 0 && query > 0);
  const rows = all.sort(([a], [b]) => b - a).slice(0, MOST_LOOKS);
  return el("details", {}, el("summary", {}, "Strongest looks, as a table"),
    el("table", {}, el("caption", { class: "unseen" }, `Strongest looks of head ${head.name}`),
      el("thead", {}, el("tr", {}, ["token", "looks at", "share"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map(([value, query, key]) => el("tr", {}, el("td", { dir: "auto" }, names[query]), el("td", { dir: "auto" }, names[key]),
        el("td", { class: "num" }, num(value)))))));
}

function text(spec, head) {
  const says = readout("Point at a token, or go there with the arrow keys, to see where the head looks from it."), items = spec.tokens.map((token, at) =>
    el("span", { class: "tok", role: "img", "aria-label": `${at} ${token}` }, el("bdi", { class: "tok-text" }, token),
      el("span", { class: "tok-value" }, "")));
  const look = (query) => {
    const row = head.pattern[query], best = row.reduce((found, value, key) => (value > row[found] ? key : found), 0);
    items.forEach((item, key) => {
      item.classList.remove("above", "peak", "from");
      if (key === query) item.classList.add("from");
      if (key === best) item.classList.add("peak");
      tint(item, row[key] ?? 0, 1);
      item.lastChild.textContent = key > query ? "" : `${key === best ? "▲" : ""}${cellText(row[key])}`;
    });
    fill(says, `From ${query} ${spec.tokens[query]} head ${head.name} looks most at ${best} ${spec.tokens[best]}: ${num(row[best])} of its attention.`);
  };
  const place = el("div", { class: "tokens", role: "group", "aria-label": `Tokens, as head ${head.name} sees them` }, items);
  roving(place, items, 1, items.length - 1, (item) => look(items.indexOf(item)));
  look(items.length - 1);
  return [el("p", { class: "quiet" }, "The framed token looks; ▲ is what it looks at most."), place, says];
}

function map(spec, head) {
  const names = labelled(spec);
  if (names.length > MOST_IN_TABLE) return el("div", { class: "large-pattern" },
    pixels(head.pattern, 1, `Pattern of head ${head.name}: ${names.length} tokens look at as many`));
  // Rows from the first token down, as a text is read; a map of layers is drawn the other way round.
  const values = head.pattern.map((row, query) => row.map((value, key) => (key > query ? null : value)));
  return heatMap({ title: `Head ${head.name}: rows look at columns`, unit: spec.unit, rows: [...names].reverse(), columns: names, values: values.reverse(),
    notes: null, reach: 1, unmarked: true });
}

export function headPatterns(spec) {
  const place = el("div", { class: "chosen-head" });
  const buttons = spec.heads.map((head) => el("button", { type: "button", class: "head", "aria-pressed": "false",
    "aria-label": `Head ${head.name}, ${habit(head)}` },
    pixels(head.pattern, 1, ""), el("span", {}, head.name)));
  const show = (at) => {
    const head = spec.heads[at];
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === at)));
    fill(place, el("p", { class: "picture-part" }, `Head ${head.name}`), text(spec, head), map(spec, head), scores(head), looks(spec, head));
  };
  buttons.forEach((button, at) => button.addEventListener("click", () => show(at)));
  for (const button of buttons) {
    const small = button.querySelector("canvas");
    small.removeAttribute("role");
    small.setAttribute("aria-hidden", "true");
  }
  show(0);
  return [el("div", { class: "heads", role: "group", "aria-label": "Heads, layer and head; choose one" }, buttons), place];
}
