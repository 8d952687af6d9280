// What stands behind a claim or a figure: gates and numbers of the judgement, then measurements with all they hold.
import { get, runPath } from "./api.js";
import { measureAgain } from "./again.js";
import { badge, el, fill, put, table } from "./dom.js";
import { picture } from "./picture.js";
import { inline, prose } from "./prose.js";
import { tree } from "./tree.js";

const PHASES = { explore: "exploration: suggests, confirms nothing", confirm: "confirmation, sealed before it ran", control: "control", black_box: "black box: prompting alone" };
const KEPT = {
  other: "The run's own file of this measurement does not say the same as the report.",
  missing: "The run's folder has no file of this measurement any more.",
};
const NUMBERS = {
  effect: "effect (share of the gap)", low: "interval, lower end", high: "interval, upper end", p: "p, one test", q: "q, over every unit looked at",
  n_pairs: "pairs of prompts", n_clusters: "independent clusters of them", moved_share: "answers moved (share)", random_max: "control: largest random draw",
  twin_effect: "control: re-initialised weights", shuffled_moved_share: "control: shuffled labels (moved share)", minimum_detectable: "smallest detectable effect",
};
const DIGITS = 4;
const PROMPTS = ["prompts", "prompt", "pairs"];

function asTable(name, value) {
  if (!Array.isArray(value)) return el("pre", { dir: "auto" }, String(value));
  const rows = value.slice(0, 100);
  const note = `${name}: ${value.length}${value.length > rows.length ? `, the first ${rows.length}` : ""}`;
  if (rows.every((row) => row !== null && typeof row === "object" && !Array.isArray(row))) {
    const heads = [...new Set(rows.flatMap(Object.keys))];
    return table(heads, rows.map((row) => heads.map((head) => text(row[head]))), note);
  }
  return table([name], rows.map((row) => [text(row)]), note);
}

function text(value) {
  return value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
}

function whole(run, about, found, path, lead) {
  const { args, result, subject, digest, seconds } = found.measurement;
  const prompts = PROMPTS.filter((name) => args[name] !== undefined && args[name] !== null && args[name].length !== 0);
  const rest = Object.fromEntries(Object.entries(args).filter(([name]) => !prompts.includes(name)));
  return [
    KEPT[found.kept] && el("p", { class: "notice bad" }, KEPT[found.kept]),
    found.altered.length > 0 && el("p", { class: "notice bad" }, "It was changed after it was measured: ", found.altered.map((one) => one.path).join(", "), "."),
    el("p", { class: "meta" }, `${PHASES[found.phase] ?? "so far"} · ${subject.model}${subject.reinit_seed === null ? "" : ", re-initialised"} · ${seconds.toFixed(2)} s · digest `, el("code", {}, digest.slice(0, 12))),
    about && el("p", {}, prose(about.found, (figure) => lead(figure.path))),
    measureAgain(run, found.measurement.id),
    picture(found.measurement),
    found.measurement.tool === "attribution_graph" && el("p", {}, el("a", { href: `/runs/${encodeURIComponent(run)}/graphs/${found.measurement.id}` }, "Open the graph")),
    path && el("p", { class: "meta" }, "The figure stands at ", el("code", {}, path), ", marked below."),
    el("details", { open: Boolean(path) }, el("summary", {}, "Raw values"), tree(result, path)),
    el("details", {}, el("summary", {}, "Arguments"), tree(rest)),
    prompts.map((name) => el("details", {}, el("summary", {}, "Prompts"), asTable(name, args[name]))),
  ];
}

export function measurementList(run, ids, about, open = null, path = "") {
  return el("ul", { class: "measurements" }, ids.map((id) => {
    const one = about.get(id), place = el("div");
    const button = el("button", { type: "button", class: "link", "aria-expanded": "false", "data-measurement": id }, el("code", {}, id), ` ${one ? one.tool : ""}`);
    const show = async (at) => {
      button.setAttribute("aria-expanded", "true");
      fill(place, el("p", { class: "quiet" }, "Reading…"));
      try {
        const found = await get(runPath(run, "measurements", id));
        fill(place, el("div", { class: "shown" }, whole(run, one, found, at, show)));
        if (at) place.querySelector(".here")?.scrollIntoView({ block: "nearest" });
      } catch (error) {
        fill(place, el("p", { class: "notice bad" }, error.message));
      }
    };
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-expanded") === "false") show("");
      else {
        button.setAttribute("aria-expanded", "false");
        fill(place);
      }
    });
    if (id === open) show(path);
    return el("li", {}, button, " ", one && badge(one.twin ? `${one.phase}, re-initialised` : one.phase.replace("_", " "), "tier"),
      el("span", { class: "quiet", dir: "auto" }, one ? inline(one.why) : ""), place);
  }));
}

function gates(claim) {
  const passed = claim.gates.filter((gate) => gate.outcome === "pass").length;
  return el("details", { open: true }, el("summary", {}, `Gates: ${passed} of ${claim.gates.length} passed`),
    table(["gate", "outcome", "reason"], claim.gates.map((gate) => [gate.name.replaceAll("_", " "), badge(gate.outcome.replace("_", " "), gate.outcome), gate.reason]), "Every condition that was due"));
}

function numbers(claim, marked) {
  const rows = Object.entries(claim.numbers).map(([name, value]) => [
    NUMBERS[name] ?? name.replaceAll("_", " "),
    el("span", { class: marked === name ? "num badge refers" : "num" }, value === null ? "not measured" : plain(value)),
  ]);
  return el("details", { open: true }, el("summary", {}, "Effect and controls"), table(["number", "value"], rows, "By code, from the measurements below. The gap is how far the answers to a prompt and its counterfactual lie apart."));
}

function plain(value) {
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(2) : String(Number(value.toPrecision(DIGITS)));
}

// `figure`: of the prose that was followed, or none.
export function claimEvidence(run, claim, about, figure) {
  const own = figure && figure.id === claim.id ? figure : null;
  const other = figure && !own ? figure : null;
  const tried = claim.attempts;
  return [
    el("h3", {}, `${claim.id} `, badge(claim.verdict), badge(claim.tier)),
    own && el("p", { class: "notice" }, "The figure is ", el("code", {}, `${own.id}: ${own.path}`), ", which code made from ", own.cites.join(", "), "."),
    el("p", {}, claim.reason),
    numbers(claim, own ? own.path.split(".").at(-1) : ""),
    gates(claim),
    el("details", {}, el("summary", {}, "Prediction, sealed before it was measured"),
      el("dl", { class: "facts" },
        el("dt", {}, "Hypothesis"), el("dd", { dir: "auto" }, inline(claim.hypothesis)),
        el("dt", {}, "Refuted if"), el("dd", { dir: "auto" }, inline(claim.refuted_if)),
        claim.alternatives.length > 0 && [el("dt", {}, "Other explanations"), el("dd", { dir: "auto" }, claim.alternatives.join("; "))],
        el("dt", {}, "Predicted"), el("dd", {}, `${claim.direction}; up to ${claim.smallest_effect} of the gap does not matter`),
        el("dt", {}, "Sealed"), el("dd", {}, el("code", {}, claim.sealed)))),
    el("h3", {}, "Measurements: confirmation and controls"),
    measurementList(run, claim.measurements, about, other ? other.id : own ? own.cites[0] : null, other ? other.path : ""),
    tried.length > 0 && el("h3", {}, "Attempts to break it"),
    tried.map((one) => el("div", {}, el("p", {}, `${one.id}: `, badge(one.outcome, one.outcome === "broken" ? "broken" : "tier"), one.reason), measurementList(run, one.measurements, about))),
  ];
}

export function figureEvidence(run, figure, about) {
  return [el("h3", {}, "A figure of the report"), measurementList(run, figure.cites, about, figure.cites[0], figure.path)];
}

export function showIn(place, ...content) {
  fill(place);
  put(place, ...content);
}
