"""On a GPU the same is measured as on the processor: proof, patches, steering, features, graphs."""

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
FEATURE = {"dictionary": "neurons", "feature": "1/3"}
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
    ("attribution_graph", {"prompt": PROMPT, "targets": ["w9"], "foil": "w8", "dictionary": "neurons"}),
    ("attribution_graph", {"prompt": PROMPT, "dictionary": "neurons", "max_feature_nodes": 20}),
]  # fmt: skip


def on_gpu(family: str) -> Subject:
    return Subject(random_model(family).to("cuda"), word_tokenizer(), f"random-{family}", None, None)


def measured(subject: Subject, tool: str, args: dict[str, object]) -> Measurement:
    instrument = load_tools()[tool]
    return instrument.measure(subject, instrument.parse(args))


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
        assert_alike(here.result, there.result, tool)


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
