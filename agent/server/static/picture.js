// Pictures of measurements: `picture` to look into, `smallPicture` for a card; none where an instrument has none, and
// its raw values are shown by tree.js.
import { el } from "./dom.js";
import { headPatterns } from "./picture-heads.js";
import { heatMap } from "./picture-maps.js";
import { bars, curves, dotRows } from "./picture-plots.js";
import { read } from "./picture-read.js";
import { smallFigure } from "./picture-small.js";
import { chosen, lensTable, tokenLines } from "./picture-words.js";

// Pages that draw pictures have their style sheet by that: a page need not know which of its parts draw some.
const SHEET = "/static/picture.css";
if (!document.querySelector(`link[href="${SHEET}"]`)) document.head.append(el("link", { rel: "stylesheet", href: SHEET }));

const DRAWN = { map: heatMap, dots: dotRows, bars, curves, tokens: tokenLines, lens: lensTable, attention: headPatterns,
  choice: (spec) => chosen(spec, drawn) };

function drawn(spec) {
  return DRAWN[spec.kind](spec);
}

function figure(spec) {
  return el("figure", { class: `picture of-${spec.kind}` }, el("figcaption", {}, el("span", { class: "picture-title", dir: "auto" }, spec.title),
    spec.says && el("span", { class: "quiet", dir: "auto" }, spec.says)), drawn(spec));
}

// A result may have been changed, or be another version's; then its picture is left out and its raw values are not.
function unreadable(measurement) {
  return el("p", { class: "notice" }, `No picture: this result of ${measurement.tool} has another form than this page knows.`);
}

export function picture(measurement) {
  try {
    const found = read(measurement).map(figure);
    return found.length ? el("div", { class: "pictures" }, found) : null;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    return unreadable(measurement);
  }
}

export function smallPicture(measurement) {
  try {
    const found = read(measurement);
    return found.length ? smallFigure(found) : null;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    return null;
  }
}
