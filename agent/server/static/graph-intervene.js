// What happens when features are taken out or scaled: as the graph predicts it, and as the model does it, beside random
// features. The link's weight is a second road to the predicted number.
import { el, fill, table } from "./dom.js";
import { measured, UnderWay } from "./measured.js";
import { figure, shortened } from "./graph-table.js";

const ALL = ["attention", "norms", "mlps"];
const parts = (how) => Object.fromEntries(ALL.map((part) => [part, how]));

export function argsFor(data, ids, mode, value, how) {
  const answers = data.foil ? [...data.answers, data.foil] : data.answers;
  const top_k = Math.max(3, data.nodes.filter((node) => node.kind === "logit").length);
  return { prompt: data.prompt, features: ids, mode, ...(mode === "ablate" ? {} : { value }), ...parts(how), answers, top_k, dictionary: data.dictionary, force_dictionary: data.force_dictionary };
}

// Change of an answer by the graph's links alone: of each feature its link times the share by which it changes. None
// where no link leads there directly.
export function byLinks(data, ids, mode, value, logit) {
  let sum = 0, n = 0;
  const places = new Map(data.nodes.map((node, place) => [node.id, place])), wanted = new Set(ids.map((id) => places.get(id))), target = places.get(logit.id);
  data.targets.forEach((end, i) => {
    if (end !== target || !wanted.has(data.sources[i])) return;
    const { activation } = data.nodes[data.sources[i]];
    const share = mode === "ablate" ? -1 : mode === "scale" ? value - 1 : (value - activation) / activation;
    sum += data.weights[i] * share;
    n += 1;
  });
  return n ? { sum, n } : null;
}

// What the frozen run says of the same quantity that a link is of: the logit less the mean, or less the foil's.
export function directly(data, result, logit) {
  const of = (id) => result.tokens.find((one) => one.token_id === id);
  const own = of(logit.token_id);
  if (!own) return null;
  return own.moved - (data.foil ? result.tokens[data.answers.length].moved : 0);
}

function withControl(one) {
  const change = one.changed_logit - one.clean_logit, drawn = one.random_changes;
  return [el("b", { class: "num" }, figure(change)), el("br"), el("span", { class: "quiet" }, `random ${figure(Math.min(...drawn))} to ${figure(Math.max(...drawn))}`)];
}

function effects(frozen, live) {
  return live.tokens.map((now) => {
    const predicted = frozen.tokens.find((one) => one.token_id === now.token_id);
    const probability = [figure(now.clean_probability), el("br"), `→ ${figure(now.changed_probability)}`];
    return [el("bdi", {}, shortened(now.token, 30)), predicted ? withControl(predicted) : "not read", withControl(now), probability];
  });
}

function roads(data, frozen, ids, mode, value) {
  return data.nodes.filter((node) => node.kind === "logit").map((logit) => {
    const links = byLinks(data, ids, mode, value, logit), run = directly(data, frozen, logit);
    return [el("bdi", {}, shortened(logit.label, 50)), run === null ? "not read" : figure(run), links ? `${figure(links.sum)} (${links.n} link${links.n === 1 ? "" : "s"})` : "no direct link left by pruning"];
  });
}

function shown(data, ids, mode, value, predicted, live) {
  const draws = live.result.random_kl.length, strong = Math.round(live.result.as_strong * draws);
  return [
    predicted.subject.fingerprint !== data.fingerprint && el("p", { class: "notice bad" }, "The model's weights are others by now than those that the graph was measured on."),
    table(["next token", "predicted", "measured", "probability"], effects(predicted.result, live.result),
      "Change of the logit (nats): predicted with all parts frozen, measured with all parts live; beside it the range of random features"),
    table(["answer", "frozen run", "links of the graph"], roads(data, predicted.result, ids, mode, value),
      `The predicted change on two roads (${data.foil ? "logit less the foil's" : "logit less the mean over the vocabulary"}, nats)`),
    el("p", {}, `In all, the next-token distribution moves by ${figure(live.result.kl)} nats (KL divergence); of ${draws} draws of random features ${strong} move${strong === 1 ? "s" : ""} it as much or more.`),
    el("p", { class: "meta" }, `Predicted: ${predicted.id}, measured: ${live.id}; with nothing changed the run differs from the model by ${figure(live.result.no_op_change)} nats at most.`),
  ];
}

// `ids`: features at tokens, changed together.
export function intervening(data, ids) {
  if (data.twin) return el("p", { class: "quiet" }, "The graph is of re-initialised weights; nothing more is measured on those here.");
  const mode = el("select", {}, el("option", { value: "ablate" }, "take out (ablate)"), el("option", { value: "scale" }, "multiply by"), el("option", { value: "set" }, "set to"));
  const value = el("input", { type: "number", step: "any", value: "2", "aria-label": "Factor or activation" });
  const by = el("label", { hidden: true }, "by", value);
  mode.addEventListener("change", () => { by.hidden = mode.value === "ablate"; });
  const told = el("div", { role: "status" }), go = el("button", { type: "submit" }, "Intervene");
  const run = async (event) => {
    event.preventDefault();
    if (go.hasAttribute("aria-disabled")) return undefined;
    const asked = [mode.value, Number(value.value)];
    if (mode.value !== "ablate" && (value.value.trim() === "" || !Number.isFinite(asked[1]))) return fill(told, el("p", { class: "notice bad" }, "Give a number."));
    go.setAttribute("aria-disabled", "true"); // and not `disabled`, which would lose the focus
    const telling = (what) => {
      const under = new UnderWay(what);
      fill(told, under.element);
      return (job) => under.tell(job);
    };
    try {
      const predicted = await measured(data.model, "intervene_features", argsFor(data, ids, ...asked, "frozen"), telling("Predicting"));
      const live = await measured(data.model, "intervene_features", argsFor(data, ids, ...asked, "live"), telling("Measuring"));
      fill(told, shown(data, ids, ...asked, predicted, live));
      told.scrollIntoView({ block: "nearest" });
    } catch (error) {
      fill(told, el("p", { class: "notice bad" }, error.message));
    }
    go.removeAttribute("aria-disabled");
    if (document.activeElement === document.body) go.focus(); // the button to stop had it
    return undefined;
  };
  return [
    el("h3", {}, "Intervene"),
    el("form", { class: "intervene", submit: run }, el("label", {}, ids.length === 1 ? "Feature" : `${ids.length} features together`, mode), by, go),
    el("p", { class: "predicts" }, el("b", {}, "Predicted"), ": what the graph says. Attention, norms and MLPs are held as the prompt had them, so only the direct way to the answer is left, and that is linear. ",
      el("b", {}, "Measured"), ": what the model itself does, with nothing held and later layers free to react. ",
      el("b", {}, "Random features"), " of the same layers write as much at the same tokens: what a change of this size does anyway."),
    told,
  ];
}
