// What a run waits for: predictions before they are sealed, or an experiment before it runs; a person says what is done.
import { el, fill } from "./dom.js";
import { inline } from "./prose.js";

function proposal(one) {
  const id = `seal-${one.prediction}`, site = `site-${one.prediction}`;
  return el("li", { "data-prediction": one.prediction },
    el("label", { for: id }, el("input", { type: "checkbox", id, checked: true }), " ", el("strong", {}, one.prediction), " ", el("span", { dir: "auto" }, inline(one.statement))),
    el("p", { class: "meta" }, "tested on ", one.arms.map((arm) => `${arm.label} (${arm.pairs} pairs)`).join("; "), one.refuted_if && [". Refuted if ", one.refuted_if]),
    one.site && el("label", { class: "site" }, "at ", el("input", { id: site, value: one.site, "data-was": one.site, maxlength: "60", spellcheck: "false" }), one.position && ` on ${one.position}`));
}

function plan(waiting, decide) {
  const list = el("ul", {}, waiting.proposals.map(proposal));
  const seal = () => {
    const drop = [], changes = {};
    for (const row of list.children) {
      const name = row.dataset.prediction, place = row.querySelector("input[data-was]");
      if (!row.querySelector("[type=checkbox]").checked) drop.push(name);
      else if (place && place.value.trim() && place.value.trim() !== place.dataset.was) changes[name] = { site: place.value.trim() };
    }
    decide({ drop, changes });
  };
  return [el("h3", {}, "Predictions to be approved"), el("p", { class: "quiet" }, "What is sealed cannot be changed. Take the tick away to leave one out; write another site to move it."),
    list, el("div", { class: "acts" }, el("button", { type: "button", "data-decide": "seal", click: seal }, "Seal these"),
      el("button", { type: "button", click: () => decide({ drop: ["all"] }) }, "Seal none"))];
}

function experiment(one, decide) {
  return [el("h3", {}, `To be measured: ${one.tool}`), el("p", { dir: "auto" }, inline(one.why)), el("pre", { dir: "auto", tabindex: "0" }, JSON.stringify(one.args, null, 1).slice(0, 4000)),
    el("div", { class: "acts" }, el("button", { type: "button", "data-decide": "run", click: () => decide({}) }, "Run it"),
      el("button", { type: "button", click: () => decide({ skip: true }) }, "Leave it out"), el("button", { type: "button", click: () => decide({ stop: true }) }, "Explore no more"))];
}

// `say(key, decision)` passes the word on; the buttons wait until the run has taken it or said why not.
export function approval(waiting, say) {
  const told = el("p", { role: "status" });
  const box = el("section", { class: "panel approve", tabindex: "-1", "aria-label": "Your approval", "data-waits": waiting.key });
  const decide = async (decision) => {
    box.focus(); // a button that is switched off loses it
    for (const button of box.querySelectorAll("button")) button.disabled = true;
    fill(told, "Passed on…");
    try {
      await say(waiting.key, decision);
    } catch (error) {
      refused(error.message);
    }
  };
  const refused = (why) => {
    for (const button of box.querySelectorAll("button")) button.disabled = false;
    fill(told, el("span", { class: "notice bad" }, why));
  };
  fill(box, waiting.experiment ? experiment(waiting.experiment, decide) : plan(waiting, decide), told);
  return { box, refused };
}
