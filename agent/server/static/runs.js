// The list of runs, with its filters in the address, so that a list can be kept and sent.
import { get } from "./api.js";
import { badge, el, fill, onKeys, when } from "./dom.js";

const MOST = 50;
const REVIEW = { untouched: "review not begun", begun: "review begun", decided: "all claims decided", signed: "signed off", outdated: "review outdated", broken: "review record broken" };
const form = document.getElementById("filters"), found = document.getElementById("found"), status = document.getElementById("status");
const fields = ["text", "model", "verdict", "tier", "review"].map((name) => document.getElementById(name));
let start = 0, asking = 0;

function wanted() {
  const query = new URLSearchParams();
  for (const field of fields) if (field.value) query.set(field.name, field.value);
  if (start) query.set("start", start);
  return query;
}

function counted(claims) {
  const counts = new Map();
  for (const claim of claims) {
    const key = `${claim.verdict} ${claim.tier}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, n]) => badge(`${n} ${key}`, key.split(" ")[0]));
}

function row(run) {
  const isFinished = run.state === "finished";
  const title = run.asked || run.question || run.name;
  return el("li", { class: `run ${run.state}` },
    isFinished
      ? el("a", { class: "title", dir: "auto", href: `/runs/${encodeURIComponent(run.name)}` }, title)
      : el("p", { class: "title", dir: "auto" }, title),
    run.asked && el("p", { class: "meta", dir: "auto" }, "read as: ", run.question),
    el("p", {}, isFinished ? (run.claims.length ? counted(run.claims) : badge("nothing claimed")) : badge(run.state),
      isFinished && badge(REVIEW[run.review], run.review)),
    run.problem && el("p", { class: "notice bad" }, run.problem),
    run.state === "unfinished" && el("p", { class: "meta" }, "It has no report yet. Go on with it: ", el("code", {}, `vesalius ask --resume ${run.name}`)),
    el("p", { class: "meta" }, [run.model, run.created && when(run.created), run.name].filter(Boolean).join(" · "),
      run.reviewers.length > 0 && [" · reviewed by ", run.reviewers.join(", ")]));
}

function offer(models) {
  const select = document.getElementById("model"), chosen = select.value;
  const names = models.includes(chosen) || !chosen ? models : [...models, chosen];
  fill(select, el("option", { value: "" }, "any"), names.map((name) => el("option", { value: name }, name)));
  select.value = chosen;
}

async function show() {
  const query = wanted(), mine = ++asking;
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  query.set("most", MOST);
  try {
    const list = await get(`/api/runs?${query}`);
    if (mine !== asking) return; // a later question was put meanwhile
    offer(list.models);
    fill(found, list.runs.map(row));
    const last = start + list.runs.length;
    status.className = "quiet";
    status.textContent = !list.total ? "No runs yet. Ask a question: vesalius ask \"…\"."
      : !list.matched ? `None of ${list.total} runs is like that.`
        : `${start + 1} to ${last} of ${list.matched}${list.matched < list.total ? ` (${list.total} in all)` : ""}, newest first`;
    document.getElementById("newer").hidden = start === 0;
    document.getElementById("older").hidden = last >= list.matched;
  } catch (error) {
    if (mine !== asking) return;
    fill(found);
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
  const at = links.indexOf(document.activeElement);
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
onKeys({ "/": () => document.getElementById("text").focus(), j: () => step(1), k: () => step(-1) });
show();
