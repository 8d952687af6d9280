// A message on its way: its place in the queue, experiments as cards while they run, approval, budget, stop, reply.
import { get, post } from "./api.js";
import { approval } from "./approve.js";
import { Card } from "./card.js";
import { badge, el, fill, focusOn, put } from "./dom.js";
import { inline } from "./prose.js";
import { follow } from "./streaming.js";

const HEADINGS = { explore: "Exploring", confirm: "Confirming on held-out prompts", control: "Confirming on held-out prompts", black_box: "Prompting alone" };

export class Live {
  // `done(reply, hadFocus)`: what it came to, none where that cannot be told; whether the focus was in what it replaces.
  constructor(handle, chat, place, done) {
    this.handle = handle;
    this.path = `/api/chats/${encodeURIComponent(chat)}/messages/${encodeURIComponent(handle)}`;
    this.place = place;
    this.done = done;
    this.begin();
    this.leave = follow(handle, {
      event: (event) => (this[`on_${event.event}`] ?? (() => {})).call(this, event),
      step: (step) => this.step(step),
      state: (state) => this.state(state),
      end: () => this.end(),
      waiting: () => fill(this.now, "The server does not answer; waiting for it…"),
      again: () => this.begin(),
      lost: () => this.lost(),
    });
  }

  begin() {
    this.cards = new Map();
    this.current = this.run = this.approval = null; // what was there is told again
    this.heading = "";
    this.now = el("span", { class: "now", role: "status" }, "Sent.");
    const stop = el("button", { type: "button", click: () => this.tried(() => post(`/api/jobs/${this.handle}/stop`)) }, "Stop");
    const limit = el("input", { id: `more-${this.handle}`, maxlength: "200", spellcheck: "false", placeholder: "seconds=900,calls=80" });
    const raise = el("button", { type: "button", click: () => this.tried(() => post(`${this.path}/budget`, { budget: limit.value.trim() })) }, "Raise");
    this.bar = el("div", { class: "live" }, this.now, stop,
      el("details", {}, el("summary", {}, "Raise the budget"), el("label", { for: `more-${this.handle}` }, "Limits "), limit, " ", raise));
    this.told = el("div", {});
    fill(this.place, this.told, this.bar);
  }

  async tried(work) {
    try {
      await work();
    } catch (error) {
      this.note(error.message, "notice bad");
    }
  }

  note(text, style = "event quiet") {
    put(this.told, el("p", { class: style, dir: "auto" }, inline(text)));
  }

  under(heading) {
    if (heading !== this.heading) put(this.told, el("h3", { class: "phase" }, heading));
    this.heading = heading;
    if (this.told.lastElementChild?.className !== "cards") put(this.told, el("div", { class: "cards" }));
    return this.told.lastElementChild;
  }

  state({ state, ahead }) {
    const words = { queued: ahead ? `Waiting: ${ahead} before it.` : "Waiting for a worker.", running: "A worker loads the model…", waiting: "Waiting for your word.", stopping: "Stopping, where it next says how far it is…" };
    fill(this.now, words[state] ?? state);
  }

  step(step) {
    if (!step) return;
    if (this.current) this.current.step(step);
    fill(this.now, `${step.doing}${step.total > 1 ? `: ${step.done} of ${step.total}` : "…"}`);
  }

  card(event) {
    const known = this.cards.get(event.key);
    if (known) return known;
    const card = new Card(this.run, event);
    this.cards.set(event.key, card);
    put(this.under(HEADINGS[event.phase] ?? event.phase), card.element);
    return card;
  }

  on_told({ lines }) {
    lines.forEach((line) => this.note(line));
  }

  on_run({ run }) {
    this.run = run;
  }

  on_before(event) {
    this.card(event).finished(event.measurement, "measured before", null);
  }

  on_started(event) {
    this.current = this.card(event);
  }

  on_finished(event) {
    this.current = null;
    this.cards.get(event.key)?.finished(event.measurement, event.found, event.known ? null : event.seconds);
  }

  on_failed(event) {
    this.current = null;
    this.cards.get(event.key)?.failed(event.reason);
  }

  on_recalled({ findings }) {
    this.note(`${findings.length} findings of earlier runs, as hints.`);
  }

  on_notice({ text }) {
    this.note(text, "event notice");
  }

  on_sealed({ prediction, statement }) {
    this.heading = "Sealed, before it is tested";
    put(this.told, el("p", { class: "event", dir: "auto" }, badge(`sealed ${prediction}`, "tier"), inline(statement)));
  }

  on_judged({ claim, verdict, tier, statement }) {
    this.heading = "Judged";
    put(this.told, el("p", { class: "event", dir: "auto" }, badge(`${claim} ${verdict}, ${tier}`, verdict), inline(statement)));
  }

  on_consulting({ model, role, number }) {
    this.note(`Asking ${model} (${role}, turn ${number}).`);
  }

  on_said({ role, content, problem }) {
    if (!content && !problem) return; // it called instruments and said nothing; these are cards
    put(this.told, el("blockquote", { class: "said", dir: "auto" }, `${role}: ${(content || problem || "").slice(0, 600)}`));
  }

  on_spent({ text }) {
    fill(this.now, text);
  }

  on_reporting() {
    fill(this.now, "Writing the report.");
  }

  on_waiting(waiting) {
    fill(this.now, "Waiting for your word.");
    if (this.approval?.key === waiting.key) return; // what was said could not be taken, and stands there still
    const { box, refused } = approval(waiting, (key, decision) => post(`${this.path}/decision`, { key, decision }));
    this.approval = { key: waiting.key, box, refused };
    put(this.told, box);
    box.focus();
  }

  on_not_taken({ text }) {
    if (this.approval) this.approval.refused(text);
    else this.note(text, "event notice bad");
  }

  on_approved({ key }) {
    const hadFocus = this.approval?.box.contains(document.activeElement);
    this.approval?.box.remove();
    this.approval = null;
    if (hadFocus) focusOn(this.told);
    this.note(key === "plan" ? "You approved the plan." : "You approved the experiment.");
  }

  lost() {
    this.bar.remove();
    this.note("The server was started again and has this message no more; reload the page to see what came of it.", "notice bad");
    this.done(null);
  }

  async end() {
    const hadFocus = this.place.contains(document.activeElement);
    this.approval?.box.remove();
    try {
      const { job } = await get(this.path);
      this.bar.remove();
      if (!job.reply && !this.run) this.note(job.state === "stopped" ? "Stopped before it began." : job.error, "notice bad");
      const lines = job.error ? [{ text: job.error, style: "yellow" }] : []; // what was measured is kept, whatever ended it
      this.done(job.reply ?? (this.run ? { kind: "stopped", lines, options: [], run: this.run } : null), hadFocus);
    } catch (error) {
      this.note(error.message, "notice bad");
      this.done(null);
    }
  }
}
