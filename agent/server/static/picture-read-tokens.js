// Values that belong to tokens: features over text, the lens' table of tokens by layer, words that an answer hangs on.
import { counted, cut, finite, list, most, num, strongest, token } from "./picture-data.js";

const MOST_CHOICES = 200, MOST_LINES = 20, MOST_PROBES = 40;

// A picture for each of several things, of which one is looked at; `make` is asked when it is.
const choice = (title, says, label, names, make) => ({ kind: "choice", title, says, label, names, make });

function line(name, tokens, values, notes = null) {
  return { name, tokens, values, notes, peak: strongest(values) };
}

export function activations({ args, result }) {
  const prompts = list(result.prompts), k = finite(args.top_k) ?? 5;
  const features = [...list(result.features)].sort((a, b) => Math.abs(b.peak ?? 0) - Math.abs(a.peak ?? 0));
  if (!features.length || !prompts.some((prompt) => list(prompt.tokens).length)) return [];
  const lines = (valueOf, isNamed) => prompts.slice(0, MOST_LINES).map((prompt) => {
    const found = list(prompt.tokens).map((one) => valueOf(list(one.features)));
    const names = found.map((one) => (one ? `${one.layer}/${one.feature}` : ""));
    return { ...line("", list(prompt.tokens).map((one) => one.token), found.map((one) => (one ? finite(one.activation) : null)),
      names.map((name) => (name ? `feature ${name}` : `not among the ${k} strongest`))), marks: isNamed ? names : [] };
  });
  const about = { kind: "tokens", unit: "activation", signed: features.some((one) => one.peak < 0) };
  const title = "Where features fire in the text";
  const nameOf = (one) => `feature ${one.layer}/${one.feature}: up to ${num(one.peak)}, at ${token(one.peak_token)}`;
  const names = ["the strongest feature at each token", ...features.slice(0, MOST_CHOICES - 1).map(nameOf)];
  const of = (i) => ({
    ...about, title: i ? `Feature ${features[i - 1].layer}/${features[i - 1].feature}` : "The strongest feature at each token",
    says: i ? `A dash: not among the ${k} strongest features of that token.` : "Below its activation, LAYER/FEATURE.",
    lines: lines(i ? (found) => found.find((one) => one.layer === features[i - 1].layer && one.feature === features[i - 1].feature) : (found) => found[0], i === 0),
  });
  const left = prompts.length > MOST_LINES ? ` The first ${MOST_LINES} of ${prompts.length} prompts.` : "";
  return [choice(title, `The ${k} strongest features of every token were read, of dictionary ${cut(result.dictionary, 30)}.${left}`, "Look at", names, of)];
}

export function described({ result }) {
  const contexts = list(result.contexts).filter((one) => list(one.tokens).length);
  const title = `Texts that make feature ${result.layer}/${result.feature} fire most`;
  const all = contexts.length ? [{
    kind: "tokens", title, unit: "activation", signed: false,
    says: `It fires at ${num(100 * (result.frequency ?? 0))}% of ${num(result.n_tokens)} tokens that were read.`,
    lines: contexts.slice(0, MOST_LINES).map((one) => line("", one.tokens, list(one.activations).map(finite))),
  }] : [];
  const words = [...list(result.promoted), ...list(result.suppressed)].filter((one) => finite(one.weight) !== null);
  if (words.length) {
    all.push({ kind: "bars", title: "Next tokens that it raises and lowers directly", unit: "weight",
      says: "What it writes, read by the unembedding; other paths are left out.", signed: true,
      rows: words.map((one) => ({ name: token(one.token, 40), value: one.weight })) });
  }
  return all;
}

export function lens({ result }) {
  const prompts = list(result.prompts).filter((prompt) => list(prompt.layers).length);
  if (!prompts.length) return [];
  const of = (i) => ({
    kind: "lens", title: `What each layer would put after: ${cut(prompts[i].prompt, 100)}`, unit: "probability",
    says: "From the embedding to the last block, most likely token first. It observes; it shows no cause.",
    rows: prompts[i].layers.map((layer) => ({
      name: layer.site === "resid_pre.0" ? "input" : `after block ${String(layer.site).split(".").at(-1)}`,
      top: list(layer.top).map(([text, p]) => [token(text), finite(p)]),
      tracked: list(layer.tracked).map((one) => [finite(one.probability), finite(one.rank)]),
    })),
    words: list(prompts[i].layers[0].tracked).map((one) => token(one.word)),
  });
  if (prompts.length === 1) return [of(0)];
  return [choice("What each layer would answer", "", "Prompt", prompts.slice(0, MOST_CHOICES).map((prompt) => cut(prompt.prompt, 60)), of)];
}

export function signatures({ result }) {
  const probes = list(result.probes), features = list(result.features).filter((one) => list(one.readings).length);
  if (!features.length) return [];
  const of = (i) => {
    const readings = [...features[i].readings].sort((a, b) => (b.peak ?? 0) - (a.peak ?? 0));
    return {
      kind: "bars", unit: "peak activation", extra: "at token",
      title: `Feature ${features[i].layer}/${features[i].feature}${features[i].name ? `, named ${cut(features[i].name, 40)}` : ""}`,
      says: [features[i].group && `${features[i].group}: ${cut(features[i].reason, 160)}.`,
        readings.length > MOST_PROBES ? `The strongest ${MOST_PROBES} of ${readings.length} probes.`
          : `${counted(readings.length, "probe")}.`].filter(Boolean).join(" "),
      rows: readings.slice(0, MOST_PROBES).map((one) => ({ name: cut(probes[one.probe]?.text ?? `probe ${one.probe}`, 70), value: finite(one.peak),
        extra: token(one.token) })),
    };
  };
  const names = features.slice(0, MOST_CHOICES).map((one) => `feature ${one.layer}/${one.feature}${one.name ? `: ${cut(one.name, 40)}` : ""}`);
  return [choice("Where features peak on probe prompts", `${counted(features.length, "feature")} on ${counted(probes.length, "probe")}.`, "Look at", names,
    of)];
}

// Per word of the prompt, how often another word in its place changes the answer.
export function replaced({ args, result }) {
  const words = new Map();
  for (const one of list(result.substitutions)) {
    if (!words.has(one.start)) words.set(one.start, { word: one.word, tried: 0, changed: [] });
    const at = words.get(one.start);
    at.tried += 1;
    if (one.keeps === false) at.changed.push(token(one.replacement));
  }
  const found = [...words].sort(([a], [b]) => a - b).map(([, one]) => one);
  if (!found.length) return [];
  const examples = (one) => (one.changed.length ? `: ${one.changed.slice(0, 6).join(", ")}` : "");
  const notes = found.map((one) => `${one.changed.length} of ${one.tried} replacements change it${examples(one)}`);
  return [{
    kind: "tokens", title: `Which words the answer ${token(args.answer)} hangs on`, unit: "share of replacements that change the answer", signed: false,
    reach: 1,
    says: `Each word was replaced by others that the model finds likely there, up to ${num(most(found.map((one) => one.tried)))} a word.`,
    lines: [line("", found.map((one) => one.word), found.map((one) => one.changed.length / one.tried), notes)],
  }];
}
