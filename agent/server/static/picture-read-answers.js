// What becomes of answers: probabilities, logits under changed features, pushes along a direction and their cost.
import { counted, cut, finite, finites, list, most, num, token } from "./picture-data.js";

const MOST_ROWS = 12;

export function nextToken({ result }) {
  const answers = list(result.answers);
  if (!answers.length) return [];
  if (answers.length === 1) {
    const rows = list(answers[0].top).map(([text, p]) => ({ name: token(text, 40), value: finite(p) }));
    if (!rows.length) return [];
    return [{ kind: "bars", title: `What the model puts next, after: ${cut(answers[0].prompt, 90)}`, unit: "probability", says: "", include: 1, rows }];
  }
  const isExpected = answers.some((one) => finite(one.probability) !== null);
  return [{
    kind: "bars", unit: "probability", include: 1, extra: "most likely",
    title: isExpected ? `How sure the model is of the expected answer, ${answers.length} prompts`
      : `How sure the model is of its answer, ${answers.length} prompts`,
    says: finite(result.accuracy) === null ? "" : `${result.n_correct} of ${result.n_prompts} prompts have the expected answer as the most likely token.`,
    rows: answers.map((one) => ({ name: cut(one.prompt, 60), value: finite(isExpected ? one.probability : list(one.top)[0]?.[1]),
      extra: token(list(one.top)[0]?.[0], 24) })),
  }];
}

export function intervened({ result }) {
  const changed = list(result.changed).map((one) => `${one.id} ${num(one.clean)} → ${num(one.new)}`);
  const rows = list(result.tokens).map((one) => ({ name: token(one.token, 40), values: finites([one.moved]), mean: finite(one.moved),
    control: finites(one.random_changes) }));
  if (!rows.length) return [];
  const n = most([0, ...rows.map((row) => row.control.length)]);
  const all = [{
    kind: "dots", title: "How far next tokens' logits move when features are changed", unit: "change of the logit (nats)", include: [0],
    rows: rows.slice(0, MOST_ROWS),
    says: `Changed: ${cut(changed.join(", "), 120)}. Filled: the change${n ? `; hollow: ${n} draws of random features changed as far` : ""}.`,
  }];
  const kl = finite(result.kl);
  if (kl !== null && finites(result.random_kl).length) {
    all.push({ kind: "dots", title: "How far the whole next-token distribution moves", unit: "KL divergence (nats)", include: [0],
      says: `${num(100 * (result.as_strong ?? 0))}% of the random draws do as much or more.`,
      rows: [{ name: "these features", values: [kl], mean: kl, control: finites(result.random_kl) }] });
  }
  return all;
}

export function steered({ args, result }) {
  const points = [...list(result.points)].filter((point) => finite(point.strength) !== null).sort((a, b) => a.strength - b.strength);
  return curves(points.map((point) => ({
    x: num(point.strength), effect: finite(point.effect), harm: finite(point.perplexity_ratio), random: finites(point.random_effects),
    randomHarm: finites(point.random_perplexity_ratios),
    note: `${list(point.answered).filter(Boolean).length} of ${counted(list(point.answered).length, "prompt")} answered ${token(args.answer)}`,
  })), `Pushing ${cut(result.site, 30)} toward ${token(args.answer)} and away from ${token(args.foil)}`, "strength");
}

export function card({ args, result }) {
  const points = list(result.strengths).map((arm, i) => ({ multiple: Number(arm.name), effect: finite(arm.effect),
    harm: finite(list(result.strength_ratios)[i]), random: [], randomHarm: [] }));
  if (!points.some((point) => point.multiple === 1)) points.push({ multiple: 1, effect: finite(result.effect), harm: finite(result.perplexity_ratio),
    random: [], randomHarm: [] });
  points.sort((a, b) => a.multiple - b.multiple);
  for (const point of points) point.x = `×${num(point.multiple)}`;
  const judged = points.find((point) => point.multiple === 1);
  judged.random = finites(result.random_effects);
  const arms = (what, some) => list(some).map((arm) => ({ name: cut(`${what}: ${arm.name ?? arm.feature}`, 50), values: finites([arm.effect]),
    mean: finite(arm.effect), control: [] }));
  const rows = [{ name: "judged setting", values: finites(result.effects), mean: finite(result.effect), control: judged.random },
    ...arms("wording", result.contexts), ...arms("layer", result.layers), ...arms("neighbouring feature", result.neighbours),
    ...arms("text alone, nothing steered", result.prompting)];
  const broken = list(result.weaknesses);
  return [...curves(points,
    `Pushing ${cut(result.site, 30)} toward ${token(args.answer)}: ${broken.length ? `fragile (${broken.join(", ")})` : "no limit of the rule is broken"}`,
    "multiple of the judged strength"),
    { kind: "dots", title: "The same push, and simpler ways to the same end", unit: "effect (nats)", include: [0], says: "Hollow: random directions as long.",
      rows: rows.slice(0, 2 * MOST_ROWS) }];
}

function curves(points, title, x) {
  if (!points.length) return [];
  return [{
    kind: "curves", title, xName: x, x: points.map((point) => point.x), notes: points.map((point) => point.note ?? ""),
    says: "Effect: how far the answer moves. Perplexity ratio: what it costs, as perplexity of neutral text over clean (1: no harm). Hollow: random directions as long.",
    panels: [
      { name: "effect", unit: "effect (nats)", include: 0, values: points.map((point) => point.effect), cloud: points.map((point) => point.random) },
      { name: "perplexity", unit: "perplexity ratio", include: 1, values: points.map((point) => point.harm), cloud: points.map((point) => point.randomHarm) },
    ],
  }];
}
