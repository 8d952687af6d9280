// The instruments of the page: which arguments have a field of their own, and how the prompt becomes an argument.

const words = (text) => text.split(/[\s,]+/).filter(Boolean);
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const texts = (text) => text.split(",").map((word) => word.trim()).filter(Boolean);
const number = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text));
const numbers = (text) => words(text).map(number);

const field = (key, label, hint, read, more = {}) => ({ key, label, hint, read, ...more });

// `args(prompt, values)`: what the prompt and the fields make; `values` are already read. Empty ones keep the default.
export const INSTRUMENTS = [
  {
    tool: "attention_patterns", name: "Attention: where heads look",
    fields: [field("heads", "Heads", "LAYER.HEAD, as 1.0 2.3; empty: all", words)],
    args: (prompt, { heads }) => ({ prompt, heads }),
  },
  {
    tool: "feature_activations", name: "Feature activations: what fires where",
    fields: [field("top_k", "Features a token", "the strongest", number, { start: "5" }),
      field("dictionary", "Dictionary", "transcoders, neurons, a path", (text) => text.trim(), { start: "transcoders" })],
    args: (prompt, { top_k, dictionary }) => ({ prompts: [prompt], top_k, dictionary }),
  },
  {
    tool: "logit_lens", name: "Logit lens: what each layer would answer",
    fields: [field("track", "Words to follow", "separated by commas", texts), field("top_k", "Tokens a layer", "the most likely", number, { start: "5" })],
    args: (prompt, { track, top_k }) => ({ prompts: [prompt], track, top_k }),
  },
  {
    tool: "next_token", name: "Next token: what the model answers",
    fields: [field("top_k", "Tokens", "the most likely", number, { start: "8" })],
    args: (prompt, { top_k }) => ({ prompts: [prompt], top_k }),
  },
  {
    tool: "steer", name: "Steering curve: push along a direction",
    fields: [
      field("positive", "Prompts that have it", "one a line", lines, { long: true }),
      field("negative", "Prompts that lack it", "one a line", lines, { long: true }),
      field("site", "Site", "as resid_post.2", (text) => text.trim()), field("answer", "Answer", "its logit counts up", (text) => text.trim()),
      field("foil", "Foil", "its logit counts down", (text) => text.trim()),
      field("strengths", "Strengths", "as 0.5 1 2", numbers, { start: "0.25 0.5 1 2" }),
    ],
    args: (prompt, values) => ({ prompts: [prompt], ...values }),
  },
  {
    tool: "patch_sweep", name: "Patch sweep: where the answer is decided",
    fields: [
      field("corrupted", "Counterfactual prompt", "as many tokens", (text) => text, { wide: true }),
      field("answer", "Answer", "to the prompt", (text) => text.trim()), field("foil", "Foil", "to the counterfactual", (text) => text.trim()),
      field("kinds", "Kinds of sites", "also head q k v", words, { start: "resid_pre attn_out mlp_out", wide: true }),
    ],
    args: (prompt, { corrupted, answer, foil, kinds }) => ({ pairs: [{ base: prompt, corrupted: corrupted ?? "", answer: answer ?? "", foil: foil ?? "" }],
      kinds }),
  },
];

// What the fields begin with for a model whose prompts are known, so that Run does something at once.
export const EXAMPLES = {
  atlas: {
    prompt: "the capital of the state containing Dallas is", track: "Austin, Texas", corrupted: "the capital of the state containing Oakland is",
    answer: "Austin", foil: "Sacramento", site: "resid_post.2",
    positive: "the capital of the state containing Dallas is\nthe capital of the state containing Houston is",
    negative: "the capital of the state containing Oakland is\nthe capital of the state containing Fresno is",
  },
};
// Steering the prompt that already has the answer would show nothing.
export const EXAMPLE_PROMPTS = { atlas: { steer: "the capital of the state containing Oakland is" } };
