// The audits of a home; or one of them: its table, from whose rows it goes on to the reports.
import { get } from "./api.js";
import { badge, el, fill, onKeys } from "./dom.js";
import { inline } from "./prose.js";

const at = (id) => document.getElementById(id);
const name = decodeURIComponent(location.pathname.match(/^\/audits\/([^/]+)$/)?.[1] ?? "");
const KINDS = { fails: "fail", passes: "pass", "not done": "open" };
const MOST = 200; // rows on the page; the filters reach the others

function listed({ audits }) {
  const row = (one) => el("li", { class: `run ${one.error ? "broken" : one.done < one.cells ? "unfinished" : "finished"}` },
    el("a", { class: "title", href: `/audits/${encodeURIComponent(one.name)}` }, one.name),
    one.error ? el("p", { class: "notice bad" }, one.error) : el("p", {}, one.failing > 0 && badge(`${one.failing} failing`, "fail"),
      one.done < one.cells ? badge(`${one.done} of ${one.cells} done`, "unfinished") : badge(`all ${one.cells} done`, one.failing ? "tier" : "pass"),
      el("span", { class: "quiet" }, ` ${one.models.join(", ")}`)));
  fill(at("status"), audits.length ? `${audits.length} audit${audits.length === 1 ? "" : "s"}` : ["No audits yet. Run one in a terminal: ", el("code", {}, "vesalius audit run SPEC.yaml")]);
  fill(at("shown"), el("ul", { class: "runs" }, audits.map(row)));
}

function cells({ row, verdict }) {
  const outcome = row.outcome, said = outcome && (outcome.failed || outcome.unanswerable || outcome.answer);
  const item = outcome?.run ? el("a", { href: `/runs/${encodeURIComponent(outcome.run)}` }, row.item) : row.item;
  return el("tr", {}, el("th", { scope: "row" }, item), el("td", {}, row.subject), el("td", { class: "num" }, String(row.seed)),
    el("td", {}, badge(verdict, KINDS[verdict])), el("td", {}, row.found.map((one) => badge(one.replace("_", " "), row.fails.includes(one) ? "fail" : "tier"))),
    el("td", { dir: "auto" }, outcome && el("details", {}, el("summary", {}, outcome.question), el("p", {}, inline(said || "")),
      el("ul", {}, outcome.claims.map((claim) => el("li", {}, badge(row.withdrawn.includes(claim.id) ? "supported in its investigation alone" : claim.verdict, row.withdrawn.includes(claim.id) ? "inconclusive" : claim.verdict),
        inline(claim.text), el("span", { class: "quiet" }, claim.id in row.q ? ` q ${claim.q.toPrecision(2)}, over the whole audit ${row.q[claim.id].toPrecision(2)}` : " that there is no effect: by its interval")))))));
}

function wanted(one) {
  const outcome = one.row.outcome, words = at("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${one.row.item} ${outcome?.question ?? ""} ${outcome?.answer ?? ""} ${outcome?.unanswerable ?? ""}`.toLowerCase();
  return words.every((word) => text.includes(word)) && (!at("model").value || at("model").value === one.row.subject)
    && (!at("outcome").value || at("outcome").value === one.verdict) && (!at("found").value || one.row.found.includes(at("found").value));
}

function draw(all, told) {
  const rows = all.filter(wanted), shown = rows.slice(0, MOST);
  fill(at("status"), told, rows.length < all.length && ` ${rows.length} of them here.`, rows.length > MOST && ` The first ${MOST} are shown.`);
  fill(at("shown"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Every cell" },
    el("table", {}, el("thead", {}, el("tr", {}, ["Item", "Model", "Seed", "Outcome", "Found", "Question and answer"].map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, shown.map(cells)))));
}

function opened({ audited, calibrated, headline, verdicts, meaning }) {
  const all = audited.rows.map((row, i) => ({ row, verdict: verdicts[i] }));
  at("filters").hidden = false;
  for (const model of new Set(audited.rows.map((row) => row.subject))) at("model").append(el("option", { value: model }, model));
  for (const [word, said] of Object.entries(meaning)) at("found").append(el("option", { value: word }, said));
  const again = () => draw(all, headline);
  at("filters").addEventListener("input", again);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  again();
  at("shown").after(el("details", {}, el("summary", {}, `How ${audited.n_claims} claims of effects are counted together`), el("p", {}, audited.correction)));
  if (audited.spiked.length) at("shown").after(el("details", {}, el("summary", {}, "This audit, measured on questions of known truth"), el("p", {}, calibrated),
    el("ul", {}, audited.spiked.map((row) => el("li", {}, row.outcome?.run ? el("a", { href: `/runs/${encodeURIComponent(row.outcome.run)}` }, row.item) : row.item, " ", row.found.map((one) => badge(one.replace("_", " "), "tier")))))));
}

async function open() {
  if (!name) return listed(await get("/api/audits"));
  fill(at("title"), `Audit ${name}`);
  fill(at("crumb"), name);
  document.title = `${name} · Vesalius`;
  opened(await get(`/api/audits/${encodeURIComponent(name)}`));
}

onKeys({ "/": () => at("text").focus() });
open().catch((error) => {
  at("status").className = "notice bad";
  fill(at("status"), error.message);
});
