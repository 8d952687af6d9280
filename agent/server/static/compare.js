// Two runs side by side. What changed, and in which words, comes from the server; here it is only laid out.
import { get, runPath } from "./api.js";
import { badge, el, fill, when } from "./dom.js";
import { measurementList } from "./evidence.js";
import { counted } from "./picture-data.js";
import { shape } from "./picture-draw.js";
import { inline } from "./prose.js";

const MOST_FOUND = 20;
const CHANGES = {
  held: ["held", "supported"], weaker: ["weaker in B", "inconclusive"], stronger: ["stronger in B", "tier"], mixed: ["weaker and stronger", "inconclusive"],
  verdict: ["another verdict", "refuted"], not_comparable: ["not comparable", "tier"], only_a: ["only in A", "tier"], only_b: ["only in B", "tier"],
};
const OUTCOMES = { same: ["same digest", "reproduced"], within: ["within the tolerance", "reproduced"], differs: ["differs", "drifted"], altered: ["changed since it was measured", "broken"] };
const at = (id) => document.getElementById(id);
const given = new URLSearchParams(location.search);
const a = given.get("a") ?? "", b = given.get("b") ?? "";

function say(message) {
  at("status").hidden = !message;
  at("status").className = "notice bad";
  at("status").textContent = message;
}

function address(one, other) {
  return `/compare?${new URLSearchParams({ ...(one && { a: one }), ...(other && { b: other }) })}`;
}

const runLink = (name, claim = "") => `/runs/${encodeURIComponent(name)}${claim && `#${claim}`}`;
const letter = (which) => el("span", { class: "letter" }, which);

function chosenRun(which, name, facts) {
  const fact = (wanted) => facts?.find((one) => one.name === wanted)?.[which.toLowerCase()] ?? "";
  return el("div", { class: "panel" },
    el("h2", {}, letter(which), el("a", { dir: "auto", href: runLink(name) }, fact("question") || name)),
    el("p", { class: "meta" }, [fact("model"), fact("begun") && when(fact("begun")), name].filter(Boolean).join(" · ")));
}

const plain = (value) => (Math.abs(value) < 0.005 ? 0 : value).toFixed(2);
const effectText = ({ effect, low, high }) => plain(effect) + (low === null || high === null ? ", no interval" : ` (${plain(low)} to ${plain(high)})`);

// Both intervals on one scale; the numbers stand beside it as text.
function intervals(row) {
  const sides = [row.a, row.b];
  const ends = sides.flatMap((side) => (side ? [side.low ?? side.effect, side.high ?? side.effect] : []));
  const low = Math.min(0, ...ends), high = Math.max(1, ...ends), x = (value) => 6 + (188 * (value - low)) / (high - low);
  const picture = shape("svg", { viewBox: "0 0 200 46", class: "intervals", "aria-hidden": "true" });
  picture.append(shape("line", { x1: x(0), x2: x(0), y1: 2, y2: 44, class: "zero" }));
  sides.forEach((side, i) => {
    if (!side) return;
    const y = 14 + 18 * i;
    picture.append(shape("line", { x1: x(side.low ?? side.effect), x2: x(side.high ?? side.effect), y1: y, y2: y, class: `span side-${"ab"[i]}` }));
    picture.append(i ? shape("rect", { x: x(side.effect) - 4, y: y - 4, width: 8, height: 8, class: "side-b" }) : shape("circle", { cx: x(side.effect), cy: y, r: 4.5, class: "side-a" }));
  });
  return picture;
}

function side(which, run, one) {
  if (!one) return el("div", { class: "side none" }, letter(which), el("p", { class: "quiet" }, `Not claimed in ${which}.`));
  return el("div", { class: "side" }, letter(which),
    el("p", {}, el("a", { href: runLink(run, one.id), "aria-label": `Claim ${one.id} of ${which}` }, one.id), " ", badge(one.verdict), badge(one.tier, "tier")),
    el("p", { class: "num effect" }, `effect ${effectText(one)} of the gap`), el("p", { class: "quiet" }, counted(one.n_pairs, "pair")),
    el("details", {}, el("summary", {}, "In words"), el("p", { dir: "auto" }, inline(one.sentence))));
}

function claimRow(row, found) {
  const [word, kind] = CHANGES[row.change];
  const overlap = row.overlap === null ? "" : row.overlap ? "The intervals overlap." : "The intervals do not overlap.";
  return el("article", { class: `claim ${kind}` },
    el("h3", { dir: "auto" }, `${row.place} `, badge(word, kind)),
    row.words.map((one) => el("p", {}, one)),
    el("div", { class: "sides" }, side("A", found.a, row.a), side("B", found.b, row.b),
      el("div", { class: "scale" }, intervals(row), el("p", { class: "quiet" }, overlap, row.a && row.b ? " A: circle, B: square; the line is no effect." : " The line is no effect."))));
}

function tallied(rows, words) {
  const counts = new Map();
  for (const row of rows) counts.set(words(row), (counts.get(words(row)) ?? 0) + 1);
  return [...counts].map(([key, n]) => badge(`${n} ${key.split("|")[0]}`, key.split("|")[1]));
}

function headTable(rows) {
  const differing = rows.filter((row) => !row.same), same = rows.filter((row) => row.same);
  const cells = (row) => ["a", "b"].map((which) => el("div", { class: "cell", dir: "auto" }, letter(which.toUpperCase()), row[which] ? (row.name === "begun" ? when(row[which]) : inline(row[which])) : "none"));
  return [
    differing.length ? el("dl", { class: "head-rows" }, differing.map((row) => [el("dt", {}, row.name), el("dd", {}, cells(row))])) : el("p", {}, "Nothing."),
    same.length > 0 && el("details", {}, el("summary", {}, `The same in both: ${same.map((row) => row.name).join(", ")}`),
      el("dl", { class: "facts" }, same.map((row) => [el("dt", {}, row.name), el("dd", { dir: "auto" }, inline(row.a))]))),
  ];
}

function shown(value) {
  return value === null ? "none" : typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(5) : String(value);
}

function measurement(one, found) {
  const [word, kind] = OUTCOMES[one.outcome];
  const place = el("div", {});
  const phases = one.phase_a === one.phase_b ? one.phase_a : `${one.phase_a} in A, ${one.phase_b} in B`;
  const look = el("details", { toggle: () => {
    if (look.open && !place.hasChildNodes()) {
      fill(place, [["A", found.a], ["B", found.b]].map(([which, run]) => [el("p", {}, letter(which)), measurementList(run, [one.id], new Map())]));
    }
  } }, el("summary", {}, "Look at it in each run"), place);
  return el("li", {}, el("p", {}, el("code", {}, one.id), ` ${one.tool} `, badge(word, kind), el("span", { class: "quiet" }, phases.replaceAll("_", " "))),
    one.outcome === "altered" && el("p", { class: "notice bad" }, "One of the two reports was changed after it was written: what it holds has another digest, or another id."),
    one.differing > 0 && el("details", { open: one.differing < 6 }, el("summary", {}, `${one.differing} ${one.differing === 1 ? "value differs" : "values differ"}${one.differing > one.differences.length ? `, the first ${one.differences.length}` : ""}`),
      el("ul", { class: "values" }, one.differences.map((value) => el("li", { dir: "auto" }, el("code", {}, value.path), `: ${shown(value.a)} in A, ${shown(value.b)} in B`)))),
    look);
}

function show(found) {
  document.title = `${found.a} and ${found.b} · Vesalius`;
  showChosen(found.a, found.b, found.head);
  fill(at("told"), found.told.map((one) => el("li", {}, one)));
  fill(at("claims-told"), found.claims.length ? tallied(found.claims, (row) => CHANGES[row.change].join("|")) : "Neither run claims anything.");
  fill(at("claims"), found.claims.map((row) => claimRow(row, found)));
  fill(at("rule"), found.claims.length > 0 && found.rule);
  fill(at("caution"), found.claims.length > 0 && found.caution);
  fill(at("head"), headTable(found.head));
  const { both, only_a, only_b, relative_tolerance, absolute_tolerance } = found.measured;
  fill(at("measured-told"), tallied(both, (one) => OUTCOMES[one.outcome].join("|")), both.length ? "" : "None. ",
    el("span", { class: "quiet" }, `${only_a} more in A only, ${only_b} in B only. Values count as equal within ${relative_tolerance} of their size, or ${absolute_tolerance} near nothing.`));
  const differing = both.filter((one) => one.outcome !== "same"), same = both.filter((one) => one.outcome === "same");
  fill(at("measured"), differing.map((one) => measurement(one, found)));
  fill(at("measured-same"), same.length > 0 && el("details", {}, el("summary", {}, `Same digest: ${same.length}`),
    el("ul", { class: "measurements" }, same.map((one) => measurement(one, found)))));
  at("compared").hidden = false;
}

function showChosen(one, other, facts) {
  at("chosen").hidden = false;
  fill(at("chosen"), el("div", { class: "pair" }, one && chosenRun("A", one, facts), other && chosenRun("B", other, facts)),
    one && other && el("p", { class: "acts" }, el("a", { href: address(other, one) }, "Swap A and B"), el("a", { href: address(one, "") }, "Compare A with another run"), el("a", { href: address(other, "") }, "Compare B with another run")));
}

// Where one run is missing it is chosen from the list.
let typing, asking = 0;
async function choose() {
  const mine = ++asking, chosen = a || b;
  const list = await get(`/api/runs?${new URLSearchParams({ text: at("text").value, most: MOST_FOUND + 1 })}`);
  if (mine !== asking) return;
  const runs = list.runs.filter((run) => run.state === "finished" && run.name !== chosen).slice(0, MOST_FOUND);
  at("found-told").textContent = runs.length ? (list.matched > runs.length + 1 ? `The newest ${runs.length}; search for others.` : "") : "No other run with a report is like that.";
  fill(at("found"), runs.map((run) => el("li", { class: "run finished" },
    el("a", { class: "title", dir: "auto", href: chosen ? address(chosen, run.name) : address(run.name, "") }, run.asked || run.question || run.name),
    el("p", { class: "meta" }, [run.model, when(run.created), run.name].join(" · ")))));
}

async function open() {
  try {
    if (a && b) return show(await get(`/api/compare?${new URLSearchParams({ a, b })}`));
    if (a || b) {
      const { question, model, created } = await get(runPath(a || b, "shown"));
      showChosen(a || b, "", [{ name: "question", a: question }, { name: "model", a: model }, { name: "begun", a: created }]);
    }
    at("choosing-title").textContent = a || b ? "Choose the run to compare it with" : "Choose the first run";
    at("choosing").hidden = false;
    at("text").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => choose().catch((error) => say(error.message)), 200);
    });
    await choose();
  } catch (error) {
    say(error.message);
    if (a && b) fill(at("chosen"), el("p", {}, el("a", { href: address(a, "") }, "Choose another run")), el("p", {}, el("a", { href: "/" }, "All runs")));
    at("chosen").hidden = !(a && b);
  }
}

open();
