// A measurement on demand: asks for it, tells how far it is, and gives what came of it.
import { get, post } from "./api.js";

const POLL = 300; // milliseconds
const UNDER_WAY = ["queued", "running", "stopping"];

// `told(job)` hears of every state; `device` is left out for the server's own. What is given back is the measurement.
export async function measured(model, tool, args, told = () => {}, device = undefined) {
  let job = await post("/api/measurements", { model, tool, args, device });
  while (UNDER_WAY.includes(job.state)) {
    told(job);
    await new Promise((resolve) => setTimeout(resolve, POLL));
    job = await get(`/api/jobs/${encodeURIComponent(job.handle)}`);
  }
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
