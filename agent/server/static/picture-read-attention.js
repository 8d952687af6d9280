// Where heads look, and what made one look there.
import { cut, finite, finites, list, num, place, token } from "./picture-data.js";

const SCORES = {
  to_previous: "to the token before", to_first: "to the first token", to_itself: "to itself", to_same_token: "to the same token earlier",
  induction: "to what followed it earlier", entropy: "entropy (nats)",
};

export function attention({ args, result }) {
  const tokens = list(result.tokens);
  const heads = list(result.heads).filter((head) => list(head.pattern).length === tokens.length && tokens.length > 0);
  if (!heads.length) return [];
  return [{
    kind: "attention", title: `Where heads look, reading: ${cut(args.prompt, 90)}`, unit: "share of attention",
    says: "Each token divides its attention among itself and those before it. Rows look, columns are looked at.",
    tokens: tokens.map((one) => token(one)),
    heads: heads.map((head) => ({
      name: head.head, pattern: head.pattern.map((row) => list(row).map((value) => finite(value) ?? 0)),
      scores: Object.entries(SCORES).filter(([name]) => finite(head[name]) !== null).map(([name, words]) => [words, num(head[name]), head[name],
        num(result.uniform?.[name])]),
    })),
  }];
}

export function explained({ result }) {
  const tokens = list(result.tokens), all = [], { looked, carried } = result;
  if (looked && list(looked.pairs).length) {
    all.push({
      kind: "bars", signed: true, unit: "part of the score",
      title: `What made head ${looked.head} look from ${place(looked.query_token, looked.query)} at ${place(looked.key_token, looked.key)}`,
      says: `Attention ${num(looked.attention)}, score ${num(looked.score)}. A pair: what the query holds, what the key holds. All others: ${num(looked.other_pairs)}.`,
      rows: looked.pairs.map((pair) => ({ name: `${cut(pair.query, 30)} with ${cut(pair.key, 30)}`, value: finite(pair.part) })),
    });
  }
  if (carried && list(carried.heads).length) {
    all.push({
      kind: "bars", signed: true, unit: "part of the link", extra: "mostly from",
      title: `Heads that carried ${carried.source === null ? "the inputs of" : `${cut(carried.source, 30)} to`} ${cut(carried.target, 30)}`,
      says: `In all ${num(carried.weight)}; past no head ${num(carried.straight)}.`,
      rows: carried.heads.map((one) => ({ name: `head ${one.head}`, value: finite(one.part), extra: place(one.token ?? tokens[one.key], one.key) })),
    });
  }
  return all.filter((one) => finites(one.rows.map((row) => row.value)).length);
}
