// The list of runs, with its filters in the address, so that a list can be kept and sent.
import { get } from "./api.js";
import { badge, el, fill, onKeys, when } from "./dom.js";
import { counted } from "./picture-data.js";

const MOST = 50, REREAD = 1000, LATE = 300; // milliseconds
const KINDS = { question: "question", asked: "the asker's words" };
const HINTS = { "": "words of a question, name or model", meaning: "what it is about, in your own words" };
const REVIEW = { untouched: "review not begun", begun: "review begun", decided: "all claims decided", signed: "signed off", outdated: "review outdated", broken: "review record broken" };
const form = document.getElementById("filters"), found = document.getElementById("found"), status = document.getElementById("status");
const fields = ["text", "by", "model", "verdict", "tier", "review"].map((name) => document.getElementById(name));
const ticked = new Map(); // runs to be compared, by name, also while other runs are listed
let start = 0, asking = 0, drawn = "", reread;

function wanted() {
  const query = new URLSearchParams();
  for (const field of fields) if (field.value) query.set(field.name, field.value);
  if (start) query.set("start", start);
  return query;
}

function verdicts(claims) {
  const counts = new Map();
  for (const claim of claims) {
    const key = `${claim.verdict} ${claim.tier}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, n]) => badge(`${n} ${key}`, key.split(" ")[0]));
}

// The sentence that is nearest to what was looked for.
function nearest(run) {
  const { kind, claim, line, similarity, words } = run.near;
  return el("p", { class: "near" }, badge(words, "tier"), el("span", { class: "num quiet" }, `cosine ${similarity.toFixed(2)} `),
    claim ? [el("a", { href: `/runs/${encodeURIComponent(run.name)}#${claim}` }, `claim ${claim}`), ": "] : `${KINDS[kind]}: `, el("q", { dir: "auto" }, line));
}

function tick(run, title) {
  const box = el("input", { type: "checkbox", "data-run": run.name, "aria-label": `Compare ${title}` });
  box.checked = ticked.has(run.name);
  box.addEventListener("change", () => {
    if (box.checked) ticked.set(run.name, title);
    else ticked.delete(run.name);
    showTicked();
  });
  return el("label", { class: "tick" }, box, " compare");
}

function showTicked() {
  const bar = document.getElementById("comparing"), [a, b] = ticked.keys();
  for (const box of found.querySelectorAll("[data-run]")) {
    box.checked = ticked.has(box.dataset.run);
    box.disabled = ticked.size === 2 && !box.checked;
  }
  bar.hidden = ticked.size === 0;
  fill(bar, el("p", {}, b ? "Two runs are ticked." : "One run is ticked: tick the one to compare it with."),
    el("ul", {}, [...ticked.values()].map((title) => el("li", { dir: "auto" }, title))),
    el("p", { class: "acts" }, b && el("a", { id: "compare", class: "go", href: `/compare?${new URLSearchParams({ a, b })}` }, "Compare"),
      el("button", { type: "button", click: untick }, "Untick")));
}

function untick() {
  const [first] = ticked.keys();
  ticked.clear();
  showTicked();
  ([...found.querySelectorAll("[data-run]")].find((box) => box.dataset.run === first) ?? found).focus(); // the button is hidden
}

function row(run) {
  const isFinished = run.state === "finished";
  const title = run.asked || run.question || run.name;
  return el("li", { class: `run ${run.state}` },
    isFinished
      ? el("a", { class: "title", dir: "auto", href: `/runs/${encodeURIComponent(run.name)}` }, title)
      : el("p", { class: "title", dir: "auto" }, title),
    run.asked && el("p", { class: "meta", dir: "auto" }, "read as: ", run.question),
    el("p", {}, isFinished ? (run.claims.length ? verdicts(run.claims) : badge("nothing claimed")) : badge(run.state),
      isFinished && badge(REVIEW[run.review], run.review)),
    run.near && nearest(run),
    run.problem && el("p", { class: "notice bad" }, run.problem),
    run.state === "unfinished" && el("p", { class: "meta" }, "It has no report yet. Go on with it: ", el("code", {}, `vesalius ask --resume ${run.name}`)),
    el("p", { class: "meta" }, [run.model, run.created && when(run.created), run.name].filter(Boolean).join(" · "),
      run.reviewers.length > 0 && [" · reviewed by ", run.reviewers.join(", ")]),
    isFinished && tick(run, title));
}

function offer(models) {
  const select = document.getElementById("model"), chosen = select.value;
  const names = models.includes(chosen) || !chosen ? models : [...models, chosen];
  fill(select, el("option", { value: "" }, "any"), names.map((name) => el("option", { value: name }, name)));
  select.value = chosen;
}

// Rows that are as they were stay, with whatever has the focus in them.
function draw(runs) {
  const now = JSON.stringify(runs);
  if (now === drawn) return;
  drawn = now;
  const here = document.activeElement, name = (one) => one.getAttribute("href") ?? one.dataset.run;
  const focused = found.contains(here) ? name(here) : null;
  fill(found, runs.map(row));
  showTicked();
  if (focused) [...found.querySelectorAll("a, [data-run]")].find((one) => name(one) === focused)?.focus();
}

function tellReading(reading) {
  const place = document.getElementById("reading"), isWhole = reading && reading.ready && reading.read === reading.of;
  place.hidden = !reading;
  place.className = reading?.by === "spelling" ? "notice" : "quiet";
  if (!reading) return;
  const how = isWhole ? [] : [el("progress", { max: reading.of, "aria-label": "Runs read", ...(reading.ready && { value: reading.read }) }), ` ${reading.ready ? `${reading.read.toLocaleString("en")} of ${reading.of.toLocaleString("en")} runs read.` : "Getting ready to compare…"} `];
  fill(place, how, reading.told, reading.skipped > 0 && ` Runs that cannot be read, and are not here: ${reading.skipped}.`,
    reading.left_out > 0 && ` Older runs that are not compared: ${reading.left_out}.`);
  if (!isWhole) reread = setTimeout(show, REREAD);
}

function told({ total, matched, reading }, last) {
  if (!total) return ["No runs yet. ", el("a", { href: "/ask" }, "Ask a question"), ", here or in a terminal: ", el("code", {}, "vesalius ask"), "."];
  if (!matched) return reading && reading.read < reading.of ? ["Nothing to show yet."] : [`None of ${counted(total, "run")} is like that.`];
  return [`${start + 1} to ${last} of ${matched}${matched < total ? ` (${total} in all)` : ""}, ${reading ? "nearest" : "newest"} first`];
}

async function show() {
  const query = wanted(), mine = ++asking;
  clearTimeout(reread);
  document.getElementById("text").placeholder = HINTS[document.getElementById("by").value];
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  query.set("most", MOST);
  const late = setTimeout(() => fill(status, "Searching…"), LATE);
  try {
    const list = await get(`/api/runs?${query}`);
    clearTimeout(late);
    if (mine !== asking) return; // a later question was put meanwhile
    offer(list.models);
    draw(list.runs);
    tellReading(list.reading);
    const last = start + list.runs.length;
    status.className = "quiet";
    fill(status, told(list, last));
    document.getElementById("newer").hidden = start === 0;
    document.getElementById("older").hidden = last >= list.matched;
  } catch (error) {
    clearTimeout(late);
    if (mine !== asking) return;
    draw([]);
    tellReading(null);
    status.className = "notice bad";
    status.textContent = error.message;
  }
}

function turn(by) {
  start = Math.max(0, start + by);
  show();
  found.focus();
}

function step(by) {
  const links = [...found.querySelectorAll("a.title")];
  const at = links.findIndex((link) => link.closest("li").contains(document.activeElement));
  links[Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
}

function again() {
  start = 0;
  show();
}

let typing;
const given = new URLSearchParams(location.search);
start = Math.max(0, Number.parseInt(given.get("start"), 10) || 0);
for (const field of fields) {
  const value = given.get(field.name) ?? "";
  if (field.name === "model" && value) field.append(el("option", { value }, value));
  field.value = value;
  if (field.tagName === "SELECT") field.addEventListener("change", again);
}
document.getElementById("text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(again, 200);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  again();
});
form.addEventListener("reset", () => setTimeout(again));
document.getElementById("newer").addEventListener("click", () => turn(-MOST));
document.getElementById("older").addEventListener("click", () => turn(MOST));
onKeys({ "/": () => document.getElementById("text").focus(), j: () => step(1), k: () => step(-1) }, () => found.querySelector("a.title"));
show();
