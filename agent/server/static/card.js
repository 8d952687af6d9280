// An experiment as a card: what runs and why, how far it is, what it found, with a small picture of it.
import { get, runPath } from "./api.js";
import { badge, el, fill, put } from "./dom.js";
import { picture, smallPicture } from "./picture.js";
import { inline } from "./prose.js";

const AT_ONCE = 2; // measurements that are read at the same time
const waiting = [];
let reading = 0;

// A run measures a hundred things; each is read when its turn comes, so that the page never asks for all at once.
function whenFree(work) {
  waiting.push(work);
  next();
}

async function next() {
  if (reading >= AT_ONCE || !waiting.length) return;
  reading += 1;
  try {
    await waiting.shift()();
  } finally {
    reading -= 1;
    next();
  }
}

function left(seconds) {
  if (!Number.isFinite(seconds)) return "";
  return seconds < 90 ? `about ${Math.ceil(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

function argument(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function facts(args) {
  const given = Object.entries(args).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length));
  return el("dl", { class: "facts" }, given.map(([name, value]) => [el("dt", {}, name), el("dd", { dir: "auto" }, argument(value).slice(0, 600))]));
}

export class Card {
  constructor(run, event) {
    this.run = run;
    this.place = el("span", { class: "found", dir: "auto" });
    this.small = el("div", { class: "small" });
    this.inside = el("div", {});
    this.begun = null;
    this.details = el("details", { toggle: () => this.opened() },
      el("summary", {}, el("span", { class: "tool" }, event.tool), event.twin && badge("re-initialised weights", "tier"),
        event.phase === "control" && badge("control", "tier"), el("span", { class: "what", dir: "auto" }, inline(event.why ?? "")), this.place),
      this.inside);
    this.element = el("div", { class: "card running", "data-key": event.key }, this.details, this.small);
    if (event.args) put(this.inside, facts(event.args));
  }

  step({ done, total, doing }) {
    this.begun ??= { at: performance.now(), done };
    const pace = (performance.now() - this.begun.at) / 1000 / Math.max(1, done - this.begun.done);
    const bar = el("progress", { value: done, max: Math.max(1, total), "aria-label": doing });
    fill(this.place, el("span", { class: "bar" }, bar, ` ${done} of ${total}: ${doing}`, done > this.begun.done && el("span", { class: "quiet" }, ` ${left(pace * (total - done))}`)));
  }

  finished(measurement, found, seconds) {
    this.measurement = measurement;
    this.element.className = "card finished";
    fill(this.place, found, typeof seconds === "number" && el("span", { class: "quiet" }, ` ${seconds.toFixed(2)} s`));
    whenFree(() => this.read());
  }

  async read() {
    try {
      this.whole = (await get(runPath(this.run, "measurements", this.measurement))).measurement;
    } catch (error) {
      fill(this.inside, el("p", { class: "notice bad" }, error.message));
      return;
    }
    const shown = smallPicture(this.whole);
    if (shown && this.element.isConnected) fill(this.small, shown);
    this.opened();
  }

  opened() {
    this.small.hidden = this.details.open; // the same is there in full
    if (!this.details.open || !this.whole || this.isDrawn) return;
    this.isDrawn = true;
    const { args, subject, digest } = this.whole;
    fill(this.inside, el("p", { class: "meta" }, el("code", {}, this.measurement), ` · ${subject.model} · digest `, el("code", {}, digest.slice(0, 12))),
      picture(this.whole), el("details", {}, el("summary", {}, "Arguments"), facts(args)));
  }

  failed(reason) {
    this.element.className = "card failed";
    fill(this.place, badge("could not run", "broken"), reason);
  }
}
