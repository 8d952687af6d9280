// What is known of features: from the run's measurements, and from those that somebody asked for on this page.
import { el, fill } from "./dom.js";
import { measured, UnderWay } from "./measured.js";
import { figure, shortened } from "./graph-table.js";

export const featureOf = (node) => `${node.layer}/${node.feature}`;

function marked({ before, peak, after, token }) {
  return peak ? [before, el("mark", {}, peak), after] : [before, el("span", { class: "quiet" }, ` (peak at “${shortened(token, 30)}”)`)];
}

function contexts(known, most) {
  return el("ul", { class: "contexts" }, known.contexts.slice(0, most).map((one) => el("li", { dir: "auto" }, el("span", { class: "num quiet" }, figure(one.activation)), " ", marked(one))));
}

function tokens(some, most) {
  return el("ul", { class: "tokens" }, some.slice(0, most).map((one) => el("li", { dir: "auto", title: figure(one.weight) }, shortened(one.token, 30))));
}

// A context of describe_feature in three parts; its peak is marked where it can stand at one place alone.
function contextOf({ text, tokens: read, peak, peak_activation }) {
  const token = read[peak], bare = token.trim(), at = bare ? text.indexOf(bare) : -1;
  const isOne = at >= 0 && text.indexOf(bare, at + 1) < 0;
  return { before: isOne ? text.slice(Math.max(0, at - 90), at) : text.slice(0, 180), peak: isOne ? bare : "", after: isOne ? text.slice(at + bare.length, at + bare.length + 90) : "", token, activation: peak_activation };
}

export class Known {
  constructor(data) {
    this.data = data;
    this.of = new Map();
    this.asking = new Map(); // jobs under way, by feature
  }

  add(features) {
    for (const one of features) this.of.set(one.feature, { ...one, ...(this.of.get(one.feature)?.fetched ? this.of.get(one.feature) : {}) });
  }

  name(node) {
    return node.kind === "feature" ? this.of.get(featureOf(node))?.name ?? "" : "";
  }

  // In short, for what hangs beside the mouse.
  brief(node) {
    const known = node.kind === "feature" ? this.of.get(featureOf(node)) : null;
    if (!known) return node.kind === "feature" ? el("p", { class: "quiet" }, "Not described yet: pin it and ask.") : null;
    return [
      known.name && el("p", {}, `fires like “${shortened(known.name, 40)}”`),
      known.contexts.length > 0 && contexts(known, 3),
      known.promoted.length > 0 && [el("p", { class: "quiet" }, "raises"), tokens(known.promoted, 5)],
    ];
  }

  whole(node, isFixed) {
    const place = el("div"), feature = featureOf(node);
    const show = () => {
      const known = this.of.get(feature);
      fill(place, known && [
        known.name && el("p", {}, el("span", { class: "quiet" }, "Named by where it fires: "), known.name, known.group && ` (${known.group})`),
        known.contexts.length > 0 ? [el("h3", {}, "Where it fires most"), contexts(known, 5)] : el("p", { class: "quiet" }, "No text that was read activates it."),
        known.promoted.length > 0 && [el("h3", {}, "Raises directly"), tokens(known.promoted, 8), el("h3", {}, "Lowers directly"), tokens(known.suppressed, 8)],
        el("p", { class: "meta" }, "From ", known.measurements.join(", "), "."),
      ], !known?.promoted.length && !isFixed && this.asker(feature, show));
    };
    show();
    return place;
  }

  asker(feature, show) {
    const told = el("div", { role: "status", class: "quiet" });
    const ask = el("button", { type: "button", "data-describe": feature, click: async () => {
      ask.disabled = true;
      const under = new UnderWay("Reading the feature");
      fill(told, under.element);
      try {
        await this.fetch(feature, (job) => under.tell(job));
        show();
        if (document.activeElement === document.body) document.getElementById("detail").focus({ preventScroll: true }); // what was pressed is gone
      } catch (error) {
        fill(told, el("span", { class: "notice bad" }, error.message));
        ask.disabled = false;
      }
    } }, this.of.has(feature) ? "Ask what it raises" : "Ask where it fires and what it raises");
    return el("div", {}, ask, told);
  }

  async fetch(feature, told) {
    const { model, dictionary, force_dictionary } = this.data;
    const found = await measured(model, "describe_feature", { feature, dictionary, force_dictionary }, told);
    const { contexts: texts, promoted, suppressed } = found.result, before = this.of.get(feature);
    this.of.set(feature, { feature, name: before?.name ?? "", group: before?.group ?? "", contexts: texts.map(contextOf), promoted, suppressed, measurements: [found.id], fetched: true });
  }
}
