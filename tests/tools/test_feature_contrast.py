"""A feature with a word and without it: hand-read activations, an exact no-op, random features, errors."""

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from vesalius.tools import Dictionary, Subject, ToolError, Transcoder, load_tools, save_dictionary
from vesalius.tools.feature_contrast import FeatureContrastArgs, feature_contrast

PAIRS = [{"base": f"w1 w{i} w3", "corrupted": f"w1 w{i + 10} w3"} for i in range(4, 12)]


def args(**more) -> FeatureContrastArgs:
    return FeatureContrastArgs.model_validate(
        {"feature": "1/3", "pairs": PAIRS, "scale": 2.0, "dictionary": "neurons", **more}
    )


def peak(subject, prompt: str, layer: int, neuron: int) -> float:
    acts = subject.run(subject.tokenise([prompt]), read=[f"mlp_act.{layer}"]).sites[f"mlp_act.{layer}"]
    return max(0.0, acts[0, 1:, neuron].max().item())  # the special token in front does not count


def test_effects_are_differences_of_hand_read_peaks(subject):
    result = feature_contrast(subject, args())
    for i, pair in enumerate(PAIRS):
        with_word, without = peak(subject, pair["base"], 1, 3), peak(subject, pair["corrupted"], 1, 3)
        assert result.clean[i] == pytest.approx(with_word, abs=1e-5)
        assert result.cells[0].effects[i] == pytest.approx((with_word - without) / 2.0, abs=1e-5)
        assert result.cells[0].answers_moved[i] == (with_word > 0 and without <= 0)


def test_reading_twice_changes_nothing_and_equal_prompts_differ_by_nothing():
    subject = make_subject("gpt2")
    same = [{"base": p["base"], "corrupted": p["base"]} for p in PAIRS]
    result = feature_contrast(subject, args(pairs=same))
    assert result.no_op_change == 0.0
    assert set(result.cells[0].effects) == {0.0}


def test_random_features_are_others_that_fire_and_follow_the_seed():
    subject = make_subject("llama")
    one, again, other = (feature_contrast(subject, args(random_draws=5, seed=s)).cells[0] for s in (0, 0, 1))
    assert one.random_effects == again.random_effects != other.random_effects
    own = feature_contrast(subject, args()).cells[0]
    assert one.effects == own.effects


def test_a_larger_scale_makes_smaller_effects():
    subject = make_subject("gpt2")
    one, two = (torch.tensor(feature_contrast(subject, args(scale=s)).cells[0].effects) for s in (1.0, 4.0))
    assert torch.allclose(one, 4 * two, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_twin_is_read_with_its_originals_dictionary_in_its_own_element_type(tmp_path, dtype):
    subject = Subject(random_model("llama", spread=0.1).to(dtype), word_tokenizer(), "original", None, None)
    drawn = torch.Generator().manual_seed(0)
    layers = tuple(
        Transcoder(layer, *(torch.randn(size, generator=drawn) for size in ((7, 24), (7,), (7, 24), (24,))), "relu")
        for layer in range(3)
    )
    path = tmp_path / "some.safetensors"
    save_dictionary(Dictionary("some", subject.key.fingerprint, layers), path)
    twin = subject.twin(3)
    found = feature_contrast(twin, args(dictionary=str(path)))
    value = twin.run(twin.tokenise([PAIRS[0]["base"]]), read=["mlp_in.1"]).sites["mlp_in.1"].float()
    by_hand = (value @ layers[1].W_enc[3] + layers[1].b_enc[3]).relu()[0, 1:].max()
    assert found.clean[0] == pytest.approx(by_hand.item(), abs=1e-4 if dtype == torch.float32 else 0.1)
    assert found.clean != feature_contrast(subject, args(dictionary=str(path))).clean


def test_no_dictionary_of_other_weights_is_read_on_a_twin(tmp_path):
    path = tmp_path / "some.safetensors"
    layer = Transcoder(1, torch.ones(7, 24), torch.ones(7), torch.ones(7, 24), torch.ones(24), "relu")
    save_dictionary(Dictionary("some", "0" * 64, (layer,)), path)
    with pytest.raises(ToolError, match="trained on other weights"):
        feature_contrast(make_subject("llama").twin(3), args(dictionary=str(path)))


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"feature": "9/3"}, "layers"),
        ({"feature": "1/9999"}, r"Features: 0\.\."),
        ({"feature": "seven"}, "should match pattern"),
        ({"scale": 0.0}, "greater than 0"),
        ({"random_draws": 500}, "random_draws of at most"),
        ({"dictionary": "transcoders"}, "vesalius dictionary train"),
    ],
)
def test_what_cannot_be_contrasted_is_refused_with_the_mend(change, mend):
    tool = load_tools()["feature_contrast"]
    raw = {"feature": "1/3", "pairs": PAIRS, "scale": 2.0, "dictionary": "neurons", **change}
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse(raw))
