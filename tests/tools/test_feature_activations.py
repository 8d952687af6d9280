"""Feature activations: the strongest at each token are those that a second computation finds."""

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, get_tool
from vesalius.tools._dictionary import Dictionary, Transcoder
from vesalius.tools._dictionary_file import save_dictionary
from vesalius.tools.feature_activations import Columns, FeatureActivationsArgs, feature_activations

PROMPTS = ("w1 w2 w3 w4 w5", "w6 w2", "w7 w1 w1")


def random_dictionary(subject: Subject) -> Dictionary:
    generator = torch.Generator().manual_seed(3)
    d_model = subject.shape.d_model
    layers = tuple(
        Transcoder(
            layer,
            torch.randn(20, d_model, generator=generator),
            torch.randn(20, generator=generator),
            torch.randn(20, d_model, generator=generator),
            torch.zeros(d_model),
            "topk",
            k=4,
        )
        for layer in range(3)
    )
    return Dictionary("random", subject.key.fingerprint, layers)


@pytest.fixture
def read(subject, tmp_path):
    """Reads features of a random dictionary of the subject."""
    path = tmp_path / "random.safetensors"
    save_dictionary(random_dictionary(subject), path)

    def call(prompts=PROMPTS, **args):
        return feature_activations(
            subject, FeatureActivationsArgs(**({"prompts": prompts, "dictionary": str(path)} | args))
        )

    return call


def test_listed_features_are_the_strongest_of_each_token_read_alone(subject, read):
    dictionary = random_dictionary(subject)
    found = read(top_k=3)
    for prompt, row in zip(PROMPTS, found.prompts, strict=True):
        run = subject.run(subject.tokenise([prompt]), read=["mlp_in.0", "mlp_in.1", "mlp_in.2"])
        for position, token in enumerate(row.tokens):
            values = {}
            for layer in range(3):
                one = dictionary.at(layer)
                pre = one.W_enc @ run.sites[f"mlp_in.{layer}"][0, position] + one.b_enc
                for feature in sorted(range(20), key=lambda f, pre=pre: -pre[f])[:4]:
                    if pre[feature] > 0:
                        values[layer, feature] = pre[feature].item()
            due = sorted(values, key=lambda name: -values[name])[:3]
            assert [(f.layer, f.feature) for f in token.features] == due
            assert [f.activation for f in token.features] == pytest.approx([values[n] for n in due], abs=1e-4)


def test_summaries_agree_with_the_tokens_they_summarise(read):
    found = read(top_k=100)  # everything active is listed, so that density can be counted
    seen: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
    for p, row in enumerate(found.prompts):
        for t, token in enumerate(row.tokens):
            for f in token.features:
                seen.setdefault((f.layer, f.feature), []).append((f.activation, p, t))
    assert found.n_tokens == sum(len(row.tokens) for row in found.prompts) == 13
    assert [(s.layer, s.feature) for s in found.features] == sorted(seen)
    for summary in found.features:
        places = seen[summary.layer, summary.feature]
        peak, prompt, position = max(places, key=lambda place: place[0])
        assert summary.peak == peak
        # Equal activations at several places differ in their last bits, if at all: any of them is the peak.
        at_peak = {(p, t) for value, p, t in places if value >= peak - 1e-5}
        assert (summary.peak_prompt, summary.peak_position) in at_peak | {(prompt, position)}
        assert summary.peak_token == found.prompts[summary.peak_prompt].tokens[summary.peak_position].token
        assert summary.density == pytest.approx(len(places) / 13)


def test_prompts_read_together_are_as_they_are_alone(read):
    alone = [read((prompt,)).prompts[0] for prompt in PROMPTS]
    for one, other in zip(alone, read().prompts, strict=True):
        for a, b in zip(one.tokens, other.tokens, strict=True):
            assert [(f.layer, f.feature) for f in a.features] == [(f.layer, f.feature) for f in b.features]
            assert [f.activation for f in a.features] == pytest.approx([f.activation for f in b.features], abs=1e-4)


def test_layers_and_top_k_narrow_what_is_listed(read):
    whole, two, three = read(top_k=100), read(layers=(2, 0), top_k=100), read(top_k=2)
    assert {f.layer for f in two.features} == {0, 2}
    assert [f for f in whole.features if f.layer != 1] == list(two.features)
    assert max(len(t.features) for row in three.prompts for t in row.tokens) == 2
    assert read(layers=(1, 1)) == read(layers=(1,))


def test_columns_name_what_they_number():
    columns = Columns((3, 0, 1), (4, 1, 2))
    names = [(3, 0), (3, 1), (3, 2), (3, 3), (0, 0), (1, 0), (1, 1)]
    assert [columns.name(c) for c in range(7)] == names
    assert [columns.number(*name) for name in names] == list(range(7))


def test_a_neuron_is_its_own_feature(subject):
    found = feature_activations(
        subject, FeatureActivationsArgs(prompts=PROMPTS[:1], dictionary="neurons", layers=(1,), top_k=1)
    )
    acts = subject.run(subject.tokenise(PROMPTS[:1]), read=["mlp_act.1"]).sites["mlp_act.1"][0]
    best = acts.abs().argmax(-1).tolist()
    assert [t.features[0].feature for t in found.prompts[0].tokens] == best
    due = [acts[position, neuron].item() for position, neuron in enumerate(best)]
    assert [t.features[0].activation for t in found.prompts[0].tokens] == pytest.approx(due, abs=1e-5)
    assert all(summary.density == 1 for summary in found.features)


def test_a_feature_that_reads_one_direction_fires_on_the_token_that_has_it(tmp_path):
    model = writing_nothing("o_proj")
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 0
        model.model.embed_tokens.weight[7] = 2 * torch.eye(24)[0]  # w4
    subject = Subject(model, word_tokenizer(), "hand-made", tmp_path, None)
    one = Transcoder(0, torch.eye(24)[:1], torch.zeros(1) - 1, torch.eye(24)[:1], torch.zeros(24), "relu")
    save_dictionary(
        Dictionary("transcoders", subject.key.fingerprint, (one,)),
        tmp_path / "dictionaries" / "transcoders.safetensors",
    )
    found = feature_activations(subject, FeatureActivationsArgs(prompts=PROMPTS))
    (summary,) = found.features
    assert (summary.peak_token, summary.peak_prompt, summary.peak_position) == ("w4", 0, 4)
    assert summary.peak == pytest.approx(24**0.5 - 1, abs=1e-3)  # the norm makes its length the root of 24
    assert summary.density == pytest.approx(1 / 13)
    assert [len(t.features) for t in found.prompts[0].tokens] == [0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("args", "mend"),
    [
        ({"layers": (3,)}, "Its layers: 0, 1, 2"),
        ({"dictionary": "missing"}, "vesalius dictionary train"),
        ({"prompts": ("w1 zebra",)}, "Use words the model knows"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_mend(args, mend):
    given = {"prompts": PROMPTS, "dictionary": "neurons"} | args
    with pytest.raises(ToolError, match=mend):
        feature_activations(make_subject("llama"), FeatureActivationsArgs(**given))


def test_the_same_request_gives_the_same_digest():
    args = FeatureActivationsArgs(prompts=PROMPTS, dictionary="neurons")
    one, other = (get_tool("feature_activations").measure(make_subject("gpt2"), args) for _ in range(2))
    assert one.digest == other.digest
