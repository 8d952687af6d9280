// A measurement on demand: asks for it, tells how far it is, and gives what came of it.
import { get, post } from "./api.js";
import { el, fill } from "./dom.js";

const POLL = 300; // milliseconds
const UNDER_WAY = ["queued", "running", "stopping"];

// A job once it has ended; `told(job)` hears of every state before that.
export async function ended(job, told) {
  while (UNDER_WAY.includes(job.state)) {
    told(job);
    await new Promise((resolve) => setTimeout(resolve, POLL));
    job = await get(`/api/jobs/${encodeURIComponent(job.handle)}`);
  }
  return job;
}

// `told(job)` hears of every state. What is given back is the measurement.
export async function measured(model, tool, args, told = () => {}) {
  const job = await ended(await post("/api/measurements", { model, tool, args }), told);
  told(job);
  if (job.state === "done" && job.measurement) return job.measurement;
  throw new Error(job.state === "stopped" ? "Stopped." : job.error || "The measurement came to nothing.");
}

export function stop(job) {
  return post(`/api/jobs/${encodeURIComponent(job.handle)}/stop`);
}

// How far a job is, in words.
export function doing(job) {
  if (job.state === "queued") return job.ahead ? `waiting; ${job.ahead} before it` : "waiting";
  if (job.state === "running") return job.step ? `${job.step.doing} (${job.step.done} of ${job.step.total})` : "beginning";
  return job.state;
}

// What is shown while a job runs. Its parts stay and only what they say changes: a button made anew would lose the focus.
export class UnderWay {
  constructor(what) {
    this.what = what;
    this.bar = el("progress", { "aria-label": what });
    this.words = el("span", {}, " Asked for…");
    this.button = el("button", { type: "button", hidden: true, click: () => this.halt() }, "Stop");
    this.element = el("p", {}, this.bar, this.words, " ", this.button);
  }

  tell(job) {
    this.job = job;
    const step = job.step, words = ` ${this.what}: ${doing(job)}`;
    if (step?.total) Object.assign(this.bar, { max: step.total, value: step.done });
    else this.bar.removeAttribute("value");
    if (this.words.textContent !== words) fill(this.words, words);
    this.button.hidden = !["queued", "running"].includes(job.state);
  }

  async halt() {
    try {
      await stop(this.job);
    } catch (error) {
      fill(this.words, ` ${error.message}`);
    }
  }
}
