"""On a GPU the same is measured as on the processor: proof, patches, links, circuits, steering, features, graphs."""

import pytest
import torch
from conftest import FAMILIES, make_subject, random_model, word_tokenizer
from vesalius.tools import Measurement, Subject, load_tools

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

PROMPT = "w1 w2 w3"
TEXTS = ["w1 w2 w3 w4", "w5 w6", "w7 w8 w9"]
PAIR = {"base": "w1 w2 w3", "corrupted": "w1 w9 w3", "answer": "w4", "foil": "w5"}
PAIRS = [
    {**PAIR, "base_entity": "w2", "source_entity": "w9", "base_label": "a", "source_label": "b"},
    {**PAIR, "base": "w6 w7 w8 w1", "corrupted": "w6 w10 w8 w1", "base_entity": "w7", "source_entity": "w10"}
    | {"base_label": "b", "source_label": "a"},
]
LABELLED = [{"prompt": f"w1 w{i}", "entity": f"w{i}", "label": "ab"[i % 2]} for i in range(11, 17)]
DISCOVERY = [{**PAIR, "base": f"w{i} w2 w3", "corrupted": f"w{i} w9 w3"} for i in (20, 21)]
FEATURE = {"dictionary": "neurons", "feature": "1/3"}
PLAIN = [{k: p[k] for k in ("base", "corrupted", "answer", "foil")} for p in PAIRS]
FAMILIES_OF_PAIRS = [{"name": "both", "pairs": PLAIN}, {"name": "one", "pairs": [PAIR]}]
EVERY = {"families": FAMILIES_OF_PAIRS, "top": 100_000}
KINDS = ["resid_pre", "attn_out", "mlp_out", "head", "q", "k", "v"]
VECTOR = [float(i % 5 - 2) for i in range(24)]
ASKED = [
    ("next_token", {"prompts": TEXTS, "answers": ["w9", "w8", "w7"], "foils": ["w1", "w2", "w3"]}),
    ("logit_lens", {"prompts": TEXTS, "track": ["w9"]}),
    ("patch", {"pairs": PAIRS, "sites": ["resid_post.1", "head.1.2"], "positions": ["entity", "last"]}),
    (
        "patch",
        {"pairs": PAIRS, "sites": ["resid_pre.1"], "positions": ["entity"], "value": "class_mean"}
        | {"reference": LABELLED, "random_draws": 3},
    ),
    ("steer", {"site": "resid_post.1", "prompts": TEXTS, "answer": "w9", "foil": "w8", **FEATURE}
     | {"neutral_texts": TEXTS, "mode": "clamp"}),
    ("feature_contrast", {"pairs": [{k: p[k] for k in ("base", "corrupted")} for p in PAIRS], "scale": 1.0, **FEATURE}),
    ("feature_activations", {"prompts": TEXTS, "dictionary": "neurons", "top_k": 3}),
    ("describe_feature", {"texts": TEXTS, **FEATURE}),
    ("patch_sweep", {"pairs": [PAIR], "kinds": KINDS}),
    ("patch_sweep", {"pairs": [PAIR], "direction": "denoising", "positions": [-1, 2]}),
    ("path_patch", {"pairs": PLAIN}),
    ("path_patch", {"pairs": PLAIN, "links": ["embed->k.1.0", "mlp_out.0->logits"], "others": True}),
    ("attribution_patch", EVERY),
    ("eap", EVERY),
    ("eap_ig", {**EVERY, "steps": 3, "most_steps": 3}),
    ("eap_ig", {**EVERY, "steps": 2, "along": "activations"}),
    ("relp", {**EVERY, "attention": "held"}),
    ("secant_patch", {**EVERY, "runs": 2}),
    ("circuit_search", {**EVERY, "method": "eap", "resamples": 0, "most_contexts": 2, "random_draws": 2}),
    ("circuit_search", {**EVERY, "method": "greedy", "resamples": 0, "random_draws": 2}),
    ("contextual_decomposition", {"pairs": PLAIN, "positions": ["all", "last"], "steps": 2}),
    ("contextual_decomposition", {"pairs": PLAIN, "norms": "frozen", "attention": "frozen", "target": "mlp_out.2"}),
    ("contextual_decomposition", {"pairs": PLAIN, "links": ["mlp_out.0->v.1.1", "embed->q.2.3"], "order": "shapley"}),
    (
        "observable",
        {"observables": [{"answer": "w4", "foil": "w5", "prompt": PROMPT, "path": ["mlp_out.2", "head.1.1@2"]}]}
        | {"read_on": [{"prompt": text} for text in TEXTS], "give_vectors": True, "top_k": 2},
    ),
    ("subspace_patch", {"pairs": PLAIN, "site": "mlp_act.1", "direction": "difference", "discovery": DISCOVERY}),
    ("subspace_patch", {"pairs": PLAIN, "site": "resid_post.1", "direction": "given", "vectors": [VECTOR]}),
    (
        "steer",
        {"site": "resid_post.1", "also_at": ["mlp_out.2"], "prompts": TEXTS, "answer": "w9", "foil": "w8"}
        | {"positive": TEXTS[:1], "negative": ["w3 w9 w9 w1"], "method": "delta", "positions": "last"}
        | {"neutral_texts": TEXTS},
    ),
    ("attribution_graph", {"prompt": PROMPT, "targets": ["w9"], "foil": "w8", "dictionary": "neurons"}),
    ("attribution_graph", {"prompt": PROMPT, "dictionary": "neurons", "max_feature_nodes": 20}),
]  # fmt: skip


def on_gpu(family: str) -> Subject:
    return Subject(random_model(family).to("cuda"), word_tokenizer(), f"random-{family}", None, None)


def measured(subject: Subject, tool: str, args: dict[str, object]) -> Measurement:
    instrument = load_tools()[tool]
    return instrument.measure(subject, instrument.parse(args))


def unranked(result: dict[str, object]) -> dict[str, object]:
    """With what is ranked by its size in the order of its names: ranks of near equals hang on rounding."""
    by_name = {key: result[key] for key in ("scored", "links") if key in result}
    return result | {k: sorted(some, key=lambda one: (one["source"], one["slot"])) for k, some in by_name.items()}


def answered(subject: Subject, prompts: list[str]) -> list[dict[str, str]]:
    """Prompts with what the model says to them."""
    words = subject.token_strings(subject.run(subject.tokenise(prompts)).last_logits.argmax(-1).tolist())
    return [{"prompt": prompt, "answer": word} for prompt, word in zip(prompts, words, strict=True)]


def assert_alike(one: object, other: object, where: str) -> None:
    """Equal but for rounding."""
    if isinstance(one, dict):
        assert isinstance(other, dict), where
        assert one.keys() == other.keys(), where
        for key in one:
            assert_alike(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert isinstance(other, list), where
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_alike(a, b, f"{where}.{i}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-2, abs=2e-3), where
    else:
        assert one == other, where


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_proves_itself_on_the_gpu_as_the_same_weights(family):
    subject = on_gpu(family)
    assert subject.device.type == "cuda"
    assert subject.key == make_subject(family).key


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("tool", "args"), ASKED, ids=[f"{tool}-{i}" for i, (tool, _) in enumerate(ASKED)])
def test_a_tool_finds_on_the_gpu_what_it_finds_on_the_processor(family, tool, args):
    here, there = (measured(subject, tool, args) for subject in (make_subject(family), on_gpu(family)))
    assert here.id == there.id
    if tool == "attribution_graph":  # which links lie just above the threshold hangs on rounding
        assert there.result["intervention_error"] < 1e-3
        weights = [{(k["source"], k["target"]): k["weight"] for k in m.result["links"]} for m in (here, there)]
        shared = weights[0].keys() & weights[1].keys()
        assert len(shared) > 0.9 * max(map(len, weights))
        largest = max(map(abs, weights[0].values()))
        for link in shared:
            assert weights[0][link] == pytest.approx(weights[1][link], abs=1e-3 * largest), link
    else:
        assert_alike(unranked(here.result), unranked(there.result), tool)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("more", [{}, {"level": "heads", "ablation": "resample"}, {"level": "layers"}])
def test_units_are_ablated_on_the_gpu_as_on_the_processor(family, more):
    first, second = (answered(make_subject(family), [f"w{i} {w} w3" for i in range(8, 14)]) for w in ("w1", "w2"))
    asked = {"first": first, "second": second, "n_folds": 3, "doses": [1], "score": "activation", **more}
    here, there = (measured(subject, "ablate_neurons", asked) for subject in (make_subject(family), on_gpu(family)))
    assert_alike(here.result, there.result, "ablate_neurons")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "more", [{"vector": VECTOR}, {"positive": ["w1 w2"], "negative": ["w3 w9"], "method": "delta"}]
)
def test_a_card_says_on_the_gpu_what_it_says_on_the_processor(family, more):
    contexts = [{"name": "plain", "prompts": TEXTS[:1]}, {"name": "other", "prompts": ["w3 w9 w9 w1"]}]
    asked = {"site": "resid_post.1", "contexts": contexts, "answer": "w9", "foil": "w8", "prompt_only": ["w6 w6"]}
    asked |= {"off_target": answered(make_subject(family), ["w15 w16"]), "neutral_texts": TEXTS, **more}
    here, there = (measured(subject, "steering_card", asked) for subject in (make_subject(family), on_gpu(family)))
    assert_alike(here.result, there.result, "steering_card")


def test_a_search_and_a_probe_run_on_the_gpu():
    subject = on_gpu("gemma2")
    asked = {"pairs": PLAIN, "site": "head.1.1", "direction": "das", "discovery": DISCOVERY, "search": {"steps": 3}}
    assert measured(subject, "subspace_patch", asked).result["no_op_change"] == 0.0
    prompts = {"prompts": TEXTS, "answer": "w9", "foil": "w8", "neutral_texts": TEXTS, "site": "resid_post.1"}
    probe = {"positive": [f"w{i}" for i in range(4)], "negative": [f"w{i}" for i in range(4, 8)], "method": "probe"}
    assert measured(subject, "steer", prompts | probe).result["no_op_change"] == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_patching_a_prompt_into_itself_changes_no_bit_on_the_gpu(family):
    asked = {"pairs": PAIRS, "sites": ["resid_post.1", "attn_out.1", "head.1.2"], "positions": ["entity", "last"]}
    assert measured(on_gpu(family), "patch", asked).result["no_op_change"] == 0.0


def test_substitutions_and_probes_run_on_the_gpu():
    subject = on_gpu("llama")
    (best,) = measured(subject, "next_token", {"prompts": [PROMPT], "top_k": 1}).result["answers"]
    answer = best["top"][0][0].strip()
    assert measured(subject, "substitutions", {"prompt": PROMPT, "answer": answer}).result["substitutions"]
    assert measured(subject, "probe_prompts", {"prompt": PROMPT, "target": "w9", "dictionary": "neurons"}).result


def test_the_twin_is_the_same_on_both():
    here, there = (subject.twin(3) for subject in (make_subject("gpt2"), on_gpu("gpt2")))
    for name, tensor in here.model.state_dict().items():
        assert torch.equal(tensor, there.model.state_dict()[name].cpu()), name
