// Which function makes pictures of an instrument's result. A picture is plain data, {kind, title, says, unit, …}: `title`
// says in plain words what is seen, `says` how to read it; what draws it is chosen by `kind`.
import { card, intervened, nextToken, steered } from "./picture-read-answers.js";
import { attention, explained } from "./picture-read-attention.js";
import { cells, found, paths, scored, sweep } from "./picture-read-effects.js";
import { activations, described, lens, replaced, signatures } from "./picture-read-tokens.js";

const READERS = {
  patch: cells, feature_contrast: cells, supernode_effect: cells, patch_sweep: sweep, path_patch: paths, circuit_search: found,
  attribution_patch: scored, eap: scored, eap_ig: scored, relp: scored, secant_patch: scored,
  next_token: nextToken, intervene_features: intervened, steer: steered, steering_card: card,
  attention_patterns: attention, explain_attention: explained, feature_activations: activations, describe_feature: described, logit_lens: lens,
  probe_prompts: signatures, substitutions: replaced,
};

// Pictures of a measurement, the most telling first; none where its instrument has none.
export function read(measurement) {
  return Object.hasOwn(READERS, measurement.tool) ? READERS[measurement.tool]({ args: {}, ...measurement }) : [];
}
