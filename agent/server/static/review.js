// The review of one report: claims on the left, what stands behind them on the right, decisions kept as they are made.
import { get, post, runPath } from "./api.js";
import { badge, el, fill, onKeys, when } from "./dom.js";
import { claimEvidence, figureEvidence, measurementList, showIn } from "./evidence.js";
import { prose } from "./prose.js";

const run = decodeURIComponent(location.pathname.split("/").at(-1));
const at = (id) => document.getElementById(id);
const STATES = { untouched: "Not reviewed yet.", begun: "Review begun.", decided: "Every claim is decided; the report is not signed off.", outdated: "All decisions are about an earlier version of the report.", broken: "The record of decisions cannot be read." };
const PRESSED = { accepted: "accept", rejected: "reject" };
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
  else showIn(at("evidence-body"), figureEvidence(run, figure, about));
  reveal();
}

// Where the columns lie one below the other, what was asked for is out of sight.
function reveal() {
  if (matchMedia("(max-width: 61.99rem)").matches) at("evidence").scrollIntoView();
  at("evidence").scrollTop = 0;
}

function choose(id, figure = null) {
  current = id;
  for (const card of document.querySelectorAll(".claim")) card.setAttribute("aria-current", card.id === id ? "true" : "false");
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
    say(`Kept: ${decision.replace("_", " ")}${claim ? ` ${claim}` : ""}, by ${reviewer}.`, "good");
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
    el("button", { type: "button", class: "link", click: () => { choose(claim.id); reveal(); } }, `Evidence: ${claim.measurements.length} measurements`),
    el("div", { class: "said-here" }),
    el("label", { class: "comment", for: `comment-${claim.id}` }, `Comment on ${claim.id}`),
    el("textarea", { id: `comment-${claim.id}`, maxlength: "4000", rows: "1" }),
    el("div", { class: "acts" }, act("accept", "Accept"), act("reject", "Reject"), act("comment", "Comment")));
}

function told(review) {
  const what = { accept: "accepted", reject: "rejected", comment: "commented on", sign_off: "signed off" }[review.decision];
  return [el("bdi", {}, review.reviewer), ` ${what} ${review.claim ?? "the report"}, ${when(review.at)}`,
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
  const open = standing.claims.filter((one) => one.state === "undecided" || one.about_earlier).length;
  fill(at("standing"), standing.state === "signed" ? `Signed off by ${standing.signed_by}, ${when(standing.signed_at)}.` : STATES[standing.state],
    standing.claims.length > 0 && ` ${standing.claims.length - open} of ${standing.claims.length} claims decided.`);
  fill(at("record"), reviews.reviews.map((review) => el("li", {}, told(review))));
  fill(at("record-digest"), reviews.reviews.length ? ["Nothing in the record is ever changed. It ends with ", el("code", {}, reviews.record), "."] : "None yet.");
  if (reviews.report !== report.digest) say("The report was written anew since this page was opened. Reload it before deciding.");
}

function showReport() {
  document.title = `${report.question.slice(0, 60)} · Vesalius`;
  fill(at("head"),
    el("p", { class: "meta" }, "Circuit report · ", el("bdi", {}, report.model), ` · ${when(report.created)} · planner `, el("bdi", {}, report.planner), " · ", el("a", { href: `/compare?${new URLSearchParams({ a: run })}` }, "Compare with…")),
    el("h1", { dir: "auto" }, report.question),
    report.asked && el("p", { class: "meta", dir: "auto" }, "in the asker's words: ", report.asked),
    el("div", { class: "panel answer" }, report.answer.length ? report.answer.map((one) => el("p", {}, prose(one, follow))) : el("p", {}, "No answer was reached.")),
    report.premise_holds === false && el("p", { class: "notice" }, "The question takes something for granted that the model does not do."),
    el("p", { class: "quiet" }, prose(report.premise, follow)),
    report.not_found.length + report.not_examined.length > 0 && el("details", {}, el("summary", {}, "Not found, not examined"),
      el("ul", {}, report.not_found.map((one) => el("li", {}, prose(one, follow))), report.not_examined.map((one) => el("li", { dir: "auto" }, one)))));
  fill(at("claim-list"), report.claims.length ? report.claims.map(card) : el("p", {}, "No prediction was sealed, so nothing is claimed. The report can be signed off as it is."));
  at("others-summary").textContent = `${report.measurements.length} measurements, also those that no claim rests on`;
  at("others").replaceWith(measurementList(run, report.measurements.map((one) => one.id), about));
  const link = (format, label, query = "") => el("li", {}, el("a", { href: runPath(run, "export", format) + query, ...(query ? { target: "_blank", rel: "noopener" } : { download: true }) }, label));
  fill(at("exports"), link("html", "Open the full report (to print or save as PDF)", "?view=true"), link("html", "HTML"), link("json", "JSON"), link("md", "Markdown"));
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

async function open() {
  at("run-name").textContent = run;
  report = await get(runPath(run, "shown"));
  about = new Map(report.measurements.map((one) => [one.id, one]));
  showReport();
  const wanted = location.hash.slice(1);
  if (report.claims.length) choose(report.claims.some((claim) => claim.id === wanted) ? wanted : report.claims[0].id);
  at("find").addEventListener("input", find);
  at("sign").addEventListener("click", () => decide("sign_off", null, ""));
  onKeys({
    j: () => step(1), k: () => step(-1), "/": () => at("find").focus(),
    a: () => onCurrent((id) => decideClaim("accept", id)), r: () => onCurrent((id) => decideClaim("reject", id)), c: () => onCurrent((id) => at(`comment-${id}`).focus()),
  });
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  await refresh();
}

at("reviewer").value = localStorage.getItem("vesalius-reviewer") ?? "";
at("reviewer").addEventListener("change", () => localStorage.setItem("vesalius-reviewer", at("reviewer").value.trim()));
trying(open);
