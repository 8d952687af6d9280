// Measure again: starts the job, says how far it is, then sets what came of it beside what was reported.
import { get, post, runPath } from "./api.js";
import { badge, el, fill, table } from "./dom.js";
import { tree } from "./tree.js";

const POLL = 400; // milliseconds

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

function underWay(job, stop) {
  const step = job.step;
  const how = job.state === "queued" ? `${job.ahead} before it` : step ? step.doing : "beginning";
  return [
    el("progress", step && step.total ? { value: step.done, max: step.total, "aria-label": "Measuring again" } : { "aria-label": "Measuring again" }),
    ` ${job.state}: ${how} `,
    el("button", { type: "button", click: stop }, "Stop"),
  ];
}

export function measureAgain(run, id) {
  const told = el("div", { role: "status" });
  const button = el("button", { type: "button", "data-again": id }, "Measure again");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      let job = await post(runPath(run, "measurements", id, "verify"));
      const stop = () => post(`/api/jobs/${job.handle}/stop`).catch((error) => fill(told, el("p", { class: "notice bad" }, error.message)));
      while (["queued", "running", "stopping"].includes(job.state)) {
        fill(told, underWay(job, stop));
        await new Promise((resolve) => setTimeout(resolve, POLL));
        job = await get(`/api/jobs/${job.handle}`);
      }
      fill(told, job.outcome ? outcome(job.outcome) : el("p", { class: "notice bad" }, job.state === "stopped" ? "Stopped." : job.error));
    } catch (error) {
      fill(told, el("p", { class: "notice bad" }, error.message));
    }
    button.disabled = false;
  });
  return [el("p", {}, button), told];
}
