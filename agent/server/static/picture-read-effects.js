// Effects of exchanging or cutting parts of the model: maps over layers and tokens, dots beside controls, bars.
import { counted, cut, finite, finites, list, mean, most, num, place, reachOf } from "./picture-data.js";

const FEWEST_FOR_A_MAP = 3;
const MOST_ROWS = 12;
const GAP = "share of the gap";
const GAP_SAYS = "1: the answer moves all the way to the counterfactual's; 0: not at all";
const KINDS = {
  resid_pre: "the stream before each block", resid_post: "the stream after each block", attn_out: "what each block's attention adds",
  mlp_out: "what each block's MLP adds",
  head: "the output of each head", q: "the queries of each head", k: "the keys of each head", v: "the values of each head",
};

const POSITIONS = { entity: "the swapped word", last: "the last token", differs: "the tokens that differ" };

// A position as it is said; anything but a word of ours is a token's index.
const where = (position) => POSITIONS[position] ?? (/^-?\d+$/.test(position) ? `token ${position}` : cut(position ?? "", 30));
const siteOf = (cell) => cell.site ?? (cell.feature === undefined ? "" : `feature ${cell.feature}`);
const named = (cell) => cut([siteOf(cell), where(cell.position)].filter(Boolean).join(String(cell.position).startsWith("where") ? " " : ", "), 60);

// Layer (-1 for the input) and column; the stream before the first block is the stream's first row.
function placeOf(cell, onePosition) {
  const found = /^([a-z_]+)(?:\.(\d+))?(?:\.(\d+))?$/.exec(siteOf(cell));
  if (!found) return null;
  let [kind, layer] = [found[1], Number(found[2] ?? -1)];
  if (kind === "resid_post") kind = "resid";
  else if (kind === "resid_pre" && layer === 0) [kind, layer] = ["resid", -1];
  const name = found[3] === undefined ? kind : `head ${found[3]}`;
  return [layer, onePosition ? name : cut(`${name}, ${where(cell.position)}`, 40)];
}

export function cells({ args, result, subject }) {
  const all = list(result.cells).filter((cell) => finites(cell.effects).length || finite(cell.effect) !== null);
  if (!all.length) return [];
  const isTwin = subject?.reinit_seed !== null && subject?.reinit_seed !== undefined;
  const what = args.features || args.feature ? "features" : "places";
  const onePosition = new Set(all.map((cell) => cell.position)).size === 1;
  const places = all.map((cell) => placeOf(cell, onePosition));
  const controlled = all.filter((cell) => finites(cell.random_effects).length);
  if (all.length < FEWEST_FOR_A_MAP || places.includes(null) || isTwin) return [dots(all, isTwin, what, result)];
  const effects = mapped(all, places, `Effect of exchanging each place${onePosition && all[0].position ? `, at ${where(all[0].position)}` : ""}`);
  return controlled.length ? [effects, dots(controlled, isTwin, what, result)] : [effects];
}

function mapped(all, places, title) {
  const layers = [...new Set(places.map(([layer]) => layer))].sort((a, b) => a - b);
  const columns = [...new Set(places.map(([, column]) => column))];
  if (columns.every((column) => !column.includes(","))) columns.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const values = layers.map(() => columns.map(() => null)), notes = layers.map(() => columns.map(() => ""));
  all.forEach((cell, at) => {
    const [row, column] = [layers.indexOf(places[at][0]), columns.indexOf(places[at][1])];
    const random = finites(cell.random_effects);
    values[row][column] = finite(cell.effect);
    notes[row][column] = [finite(cell.moved) !== null && `answers moved ${num(100 * cell.moved)}%`,
      random.length && `largest of ${random.length} random controls ${num(most(random))}`].filter(Boolean).join("; ");
  });
  return {
    kind: "map", title, says: GAP_SAYS, unit: GAP, rows: layers.map((layer) => (layer < 0 ? "input" : `layer ${layer}`)), columns, values, notes,
    reach: reachOf(values.flat().filter((value) => value !== null), 1),
  };
}

function dots(all, isTwin, what, result) {
  // The gap of weights that learned nothing is next to nothing, and a share of it would be anything.
  const of = (cell) => finites(isTwin && cell.drops ? cell.drops : cell.effects);
  const shown = [...all].sort((a, b) => Math.abs(b.effect ?? 0) - Math.abs(a.effect ?? 0)).slice(0, MOST_ROWS);
  const pairs = finite(result.n_pairs);
  return {
    kind: "dots", unit: isTwin ? "change of the logit difference (nats)" : `effect (${GAP})`, include: isTwin ? [0] : [0, 1],
    title: shown.length === 1 ? `How far the answer moves: ${named(shown[0])}` : `How far ${what} move the answer`,
    says: [`Filled: ${pairs === null ? "pairs" : counted(pairs, "pair")} of prompts, the bar their mean.`,
      shown.some((cell) => finites(cell.random_effects).length) && !isTwin && "Hollow: random controls of the same size.",
      isTwin && "With re-initialised weights.", shown.length < all.length && `The strongest ${shown.length} of ${all.length}.`].filter(Boolean).join(" "),
    rows: shown.map((cell) => ({ name: named(cell), values: of(cell), mean: isTwin ? mean(of(cell)) : finite(cell.effect),
      control: isTwin ? [] : finites(cell.random_effects) })),
  };
}

export function sweep({ args, result }) {
  const tokens = list(result.tokens), positions = list(result.positions);
  const grids = list(result.grids).filter((grid) => finites(list(grid.effect).flat(2)).length);
  const reach = reachOf(finites(grids.flatMap((grid) => grid.effect.flat(2))), 1);
  return grids.map((grid) => {
    const rows = [], values = [];
    grid.effect.forEach((heads, layer) => list(heads).forEach((row, head) => {
      rows.push(heads.length > 1 || ["head", "q", "k", "v"].includes(grid.kind) ? `${layer}.${head}` : `layer ${layer}`);
      values.push(list(row).map(finite));
    }));
    return {
      kind: "map", title: `${args.direction === "denoising" ? "What brings the answer back" : "What the answer depends on"}: ${KINDS[grid.kind] ?? grid.kind}`,
      says: `${GAP_SAYS}. ${grid.kind} at each token, mean of ${counted(finite(result.n_pairs) ?? 0, "pair")}; no-op ${num(result.no_op_change)} nats`,
      unit: GAP, rows, columns: positions.map((at, i) => place(tokens[i], at)), values, notes: null, reach,
    };
  });
}

const arrow = (link) => [link.source, link.slot ?? link.target].filter(Boolean).join(" → ");

export function scored({ result }) {
  const all = list(result.scored);
  if (!all.length) return [];
  const measured = (one) => finite(list(one.families).find((family) => family.family === one.family)?.measured);
  const bars = {
    kind: "bars", title: "What seems to hold up the answer, strongest first", unit: GAP, signed: true, extra: "when cut",
    says: "A score is an estimate of what cutting the part does; “when cut” is measured.",
    rows: all.map((one) => ({ name: cut(arrow(one), 50), value: finite(one.score), extra: measured(one) === null ? "–" : num(measured(one)) })),
  };
  const nodes = all.filter((one) => !one.slot).map((one) => ({ site: one.source, effect: one.score, position: "" }));
  const places = nodes.map((cell) => placeOf(cell, true));
  if (nodes.length < FEWEST_FOR_A_MAP || nodes.length < all.length || places.includes(null)) return [bars];
  const map = mapped(nodes, places, "Estimated effect of each part on the answer");
  return [{ ...map, says: `Scores: 1 would be the whole gap. Parts outside the strongest ${all.length} are left empty.` }, bars];
}

export function paths({ result }) {
  const rows = list(result.cells).map((cell) => ({ name: cut(list(cell.links).map((link) => (typeof link === "string" ? link : arrow(link))).join(", "), 60),
    value: finite(cell.effect) }));
  return rows.length ? [{ kind: "bars", title: "How far the answer moves when one link is exchanged", unit: GAP, says: GAP_SAYS, signed: true,
    rows: sorted(rows) }] : [];
}

const sorted = (rows) => [...rows].sort((a, b) => Math.abs(b.value ?? 0) - Math.abs(a.value ?? 0));

export function found({ result }) {
  const rows = list(result.links).map((one) => ({ name: cut(`${one.source} → ${one.slot}`, 50), value: finite(one.score),
    extra: one.in_circuit ? "in the circuit" : "left out" }));
  return rows.length ? [{ kind: "bars", title: "Links that were looked at, strongest first", unit: GAP, says: GAP_SAYS, signed: true, extra: "kept",
    rows: sorted(rows) }] : [];
}
