// Measure again: starts the job, says how far it is, then sets what came of it beside what was reported.
import { post, runPath } from "./api.js";
import { badge, el, fill, table } from "./dom.js";
import { UnderWay, ended } from "./measured.js";
import { tree } from "./tree.js";

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function outcome(found) {
  if (found.outcome === "not reproducible") {
    return [el("p", {}, badge("not reproducible", "not")), el("p", { class: "notice" }, found.reason)];
  }
  const bits = found.bit_identical ? "the same to the last bit"
    : `tolerance ${found.relative_tolerance} of a value, ${found.absolute_tolerance} near nothing`;
  return [
    el("p", {}, badge(found.outcome), `${bits}; ${found.seconds.toFixed(2)} s`),
    found.figures.length > 0 && table(["figure", "reported", "measured again"], found.figures.map((f) => [f.path, f.was, f.now]), "Figures in the report's prose that rest on it"),
    found.drifts.length > 0 && table(["where", "reported", "measured again"], found.drifts.map((d) => [d.path, shown(d.was), shown(d.now)]),
      `Values that differ: ${found.drifted_in_all}${found.drifted_in_all > found.drifts.length ? `, the first ${found.drifts.length}` : ""}`),
    el("details", {}, el("summary", {}, "Result as measured again"), tree(found.result)),
  ];
}

export function measureAgain(run, id) {
  const told = el("div", { role: "status" });
  const button = el("button", { type: "button", "data-again": id }, "Measure again");
  button.addEventListener("click", async () => {
    if (button.hasAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true"); // and not `disabled`, which would lose the focus
    const under = new UnderWay("Measuring again");
    fill(told, under.element);
    try {
      const job = await ended(await post(runPath(run, "measurements", id, "verify")), (now) => under.tell(now));
      fill(told, job.outcome ? outcome(job.outcome) : el("p", { class: "notice bad" }, job.state === "stopped" ? "Stopped." : job.error));
    } catch (error) {
      fill(told, el("p", { class: "notice bad" }, error.message));
    }
    button.removeAttribute("aria-disabled");
    if (document.activeElement === document.body) button.focus(); // the button to stop had it
  });
  return [el("p", {}, button), told];
}
