// The review of one report: claims on the left, what stands behind them on the right, decisions kept as they are made.
import { get, post, runPath } from "./api.js";
import { badge, el, fill, onKeys, when } from "./dom.js";
import { claimEvidence, figureEvidence, measurementList, showIn } from "./evidence.js";
import { counted } from "./picture-data.js";
import { prose } from "./prose.js";

const run = decodeURIComponent(location.pathname.split("/").at(-1));
const at = (id) => document.getElementById(id);
const STATES = { untouched: "Not reviewed yet.", begun: "Review begun.", decided: "Every claim is decided; the report is not signed off.", outdated: "All decisions are about an earlier version of the report.", broken: "The record of decisions cannot be read." };
const PRESSED = { accepted: "accept", rejected: "reject" };
const DONE = { accept: "accepted", reject: "rejected", comment: "commented on", sign_off: "signed off" };
const LONGEST_TITLE = 60; // characters of the question
const MOST_GRAPHS = 3; // named in the head; all are among the measurements
let report, about, reviews, current = null;

function say(message, kind = "") {
  const status = at("status");
  status.hidden = !message;
  status.className = `notice ${kind}`;
  status.textContent = message;
}

async function trying(work) {
  try {
    await work();
  } catch (error) {
    say(error.message, "bad");
    at("status").scrollIntoView({ block: "nearest" });
  }
}

function follow(figure) {
  const claim = report.claims.find((one) => one.id === figure.id) ?? report.claims.find((one) => one.measurements.includes(figure.id));
  if (claim) choose(claim.id, figure);
  else {
    mark(null); // so that no key decides on a claim whose evidence is not shown
    showIn(at("evidence-body"), figureEvidence(run, figure, about));
  }
  reveal();
}

// What was asked for may be out of sight: below the answer, and where the columns lie one below the other.
function reveal() {
  const evidence = at("evidence"), { top } = evidence.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 3) evidence.scrollIntoView();
  evidence.scrollTop = 0;
  evidence.focus({ preventScroll: true });
}

function mark(id) {
  current = id;
  for (const card of document.querySelectorAll(".claim")) card.setAttribute("aria-current", card.id === id ? "true" : "false");
}

function choose(id, figure = null) {
  mark(id);
  const claim = report.claims.find((one) => one.id === id);
  showIn(at("evidence-body"), claimEvidence(run, claim, about, figure));
}

async function decide(decision, claim, comment) {
  const reviewer = at("reviewer").value.trim();
  if (!reviewer) {
    say("Decisions carry a name: fill in yours first.");
    at("reviewer").focus();
    return false;
  }
  let isKept = false;
  await trying(async () => {
    reviews = await post(runPath(run, "reviews"), { decision, claim, reviewer, comment, report: report.digest });
    say(`Kept: ${reviewer} ${DONE[decision]} ${claim ?? "the report"}.`, "good");
    isKept = true;
    showStanding();
  });
  return isKept;
}

async function decideClaim(decision, claim) {
  const box = at(`comment-${claim}`);
  if (decision === "comment" && !box.value.trim()) {
    box.focus();
    return;
  }
  if (await decide(decision, claim, box.value.trim())) box.value = "";
}

function card(claim) {
  const act = (decision, label) => el("button", { type: "button", "data-act": decision, "aria-label": `${label} ${claim.id}`, click: () => decideClaim(decision, claim.id) }, label);
  return el("article", { class: `claim ${claim.verdict}`, id: claim.id, tabindex: "-1", "aria-current": "false", "aria-labelledby": `${claim.id}-title`, focusin: () => current === claim.id || choose(claim.id) },
    el("h3", { id: `${claim.id}-title` }, `${claim.id} `, badge(claim.verdict), badge(claim.tier), el("span", { class: "state" })),
    el("p", { class: "statement" }, prose(claim.sentence, follow)),
    el("p", { class: "quiet" }, claim.reason),
    el("button", { type: "button", class: "link", click: () => { choose(claim.id); reveal(); } }, `Evidence: ${counted(claim.measurements.length, "measurement")}`),
    el("div", { class: "said-here" }),
    el("label", { class: "comment", for: `comment-${claim.id}` }, `Comment on ${claim.id}`),
    el("textarea", { id: `comment-${claim.id}`, maxlength: "4000", rows: "1" }),
    el("div", { class: "acts" }, act("accept", "Accept"), act("reject", "Reject"), act("comment", "Comment")));
}

function told(review) {
  return [el("bdi", {}, review.reviewer), ` ${DONE[review.decision]} ${review.claim ?? "the report"}, ${when(review.at)}`,
    review.report !== reviews.report && [" ", badge("about an earlier version of the report", "outdated")],
    review.comment && el("p", { class: "said", dir: "auto" }, review.comment)];
}

function showStanding() {
  const { standing } = reviews;
  for (const one of standing.claims) {
    const place = at(one.claim);
    if (!place) continue;
    fill(place.querySelector(".state"), one.state === "undecided" ? badge("undecided", "tier") : badge(one.state),
      one.about_earlier && badge("about an earlier version of the report", "outdated"));
    for (const button of place.querySelectorAll("[data-act]")) {
      const isLast = !one.about_earlier && PRESSED[one.state] === button.dataset.act;
      if (button.dataset.act !== "comment") button.setAttribute("aria-pressed", String(isLast));
    }
    const mine = reviews.reviews.filter((review) => review.claim === one.claim);
    fill(place.querySelector(".said-here"), mine.length > 0 && el("ul", { class: "record" }, mine.map((review) => el("li", {}, told(review)))));
  }
  const decided = standing.claims.filter((one) => one.state !== "undecided" && !one.about_earlier);
  const rejected = decided.filter((one) => one.state === "rejected").length;
  fill(at("standing"), standing.state === "signed" ? `Signed off by ${standing.signed_by}, ${when(standing.signed_at)}.` : STATES[standing.state],
    standing.claims.length > 0 && ` ${decided.length} of ${counted(standing.claims.length, "claim")} decided${decided.length ? `: ${decided.length - rejected} accepted, ${rejected} rejected` : ""}.`);
  fill(at("record"), reviews.reviews.map((review) => el("li", {}, told(review))));
  fill(at("record-digest"), reviews.reviews.length ? ["Nothing in the record is ever changed. It ends with ", el("code", {}, reviews.record), "."] : "None yet.");
  if (reviews.report !== report.digest) say("The report was written anew since this page was opened. Reload it before deciding.");
}

function showReport() {
  const { question } = report, said = (parts) => parts.map((part) => part.text).join("");
  document.title = `${question.length > LONGEST_TITLE ? `${question.slice(0, LONGEST_TITLE)}…` : question} · Vesalius`;
  const graphs = report.measurements.filter((one) => one.tool === "attribution_graph" && !one.twin).slice(0, MOST_GRAPHS);
  fill(at("head"),
    el("p", { class: "meta" }, "Circuit report · ", el("bdi", {}, report.model), ` · ${when(report.created)} · planner `, el("bdi", {}, report.planner), " · ", el("a", { href: `/compare?${new URLSearchParams({ a: run })}` }, "Compare with…"),
      graphs.map((one) => [" · ", el("a", { href: `/runs/${encodeURIComponent(run)}/graphs/${one.id}` }, "Attribution graph")])),
    el("h1", { dir: "auto" }, report.question),
    report.asked && el("p", { class: "meta", dir: "auto" }, "in the asker's words: ", report.asked),
    el("div", { class: "panel answer" }, report.answer.length ? report.answer.map((one) => el("p", {}, prose(one, follow))) : el("p", {}, "No answer was reached.")),
    report.premise_holds === false && el("p", { class: "notice" }, "The question takes something for granted that the model does not do."),
    said(report.premise) !== said(report.answer[0] ?? []) && el("p", { class: "quiet" }, prose(report.premise, follow)), // most answers begin with it
    report.not_found.length + report.not_examined.length > 0 && el("details", {}, el("summary", {}, "Not found, not examined"),
      el("ul", {}, report.not_found.map((one) => el("li", {}, prose(one, follow))), report.not_examined.map((one) => el("li", { dir: "auto" }, one)))));
  fill(at("claim-list"), report.claims.length ? report.claims.map(card) : el("p", {}, "No prediction was sealed, so nothing is claimed. The report can be signed off as it is."));
  at("others-summary").textContent = `${counted(report.measurements.length, "measurement")}, also those that no claim rests on`;
  at("others").replaceWith(measurementList(run, report.measurements.map((one) => one.id), about));
  const link = (format, label, query = "") => el("li", {}, el("a", { class: "button", href: runPath(run, "export", format) + query, ...(query ? { target: "_blank", rel: "noopener" } : { download: true }) }, label));
  fill(at("exports"), link("html", "Open the full report (to print or save as PDF)", "?view=true"), link("html", "Save as HTML"), link("json", "Save as JSON"), link("md", "Save as Markdown"));
}

function shownClaims() {
  return [...document.querySelectorAll(".claim:not([hidden])")].map((card) => card.id);
}

function step(by) {
  const ids = shownClaims(), place = ids.indexOf(current);
  const id = ids[Math.min(ids.length - 1, Math.max(0, place + by))];
  if (!id) return;
  choose(id);
  at(id).focus();
}

function onCurrent(work) {
  if (current && report.claims.some((claim) => claim.id === current)) work(current);
  else say("Choose a claim first: j goes to the next.");
}

function find() {
  const words = at("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const claim of report.claims) {
    const text = `${claim.id} ${claim.verdict} ${claim.tier} ${claim.sentence.map((part) => part.text).join("")} ${claim.reason}`.toLowerCase();
    at(claim.id).hidden = !words.every((word) => text.includes(word));
  }
  fill(at("found-told"), words.length > 0 && `${shownClaims().length} of ${counted(report.claims.length, "claim")} found.`);
}

// A record that cannot be read hides no report.
async function refresh() {
  try {
    reviews = await get(runPath(run, "reviews"));
  } catch (error) {
    reviews = { report: report.digest, standing: { state: "broken", claims: [] }, reviews: [], record: "" };
    say(error.message, "bad");
  }
  showStanding();
}

// An address may name a claim or a measurement, which are there only now.
function goTo(name) {
  if (report.claims.some((claim) => claim.id === name)) {
    choose(name);
    at(name).focus();
  } else if (about.has(name)) follow({ id: name, path: "", cites: [name] });
}

async function open() {
  at("run-name").textContent = run;
  report = await get(runPath(run, "shown"));
  about = new Map(report.measurements.map((one) => [one.id, one]));
  showReport();
  if (report.claims.length) choose(report.claims[0].id);
  goTo(location.hash.slice(1));
  window.addEventListener("hashchange", () => goTo(location.hash.slice(1)));
  at("find").addEventListener("input", find);
  at("sign").addEventListener("click", () => decide("sign_off", null, ""));
  onKeys({
    j: () => step(1), k: () => step(-1), "/": () => at("find").focus(),
    a: () => onCurrent((id) => decideClaim("accept", id)), r: () => onCurrent((id) => decideClaim("reject", id)), c: () => onCurrent((id) => at(`comment-${id}`).focus()),
  }, () => current && at(current));
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  await refresh();
}

at("reviewer").value = localStorage.getItem("vesalius-reviewer") ?? "";
at("reviewer").addEventListener("change", () => localStorage.setItem("vesalius-reviewer", at("reviewer").value.trim()));
open().catch((error) => {
  say(error.message, "bad");
  for (const part of document.querySelectorAll("main > :not(#status)")) part.hidden = true; // there is nothing to decide on
});
