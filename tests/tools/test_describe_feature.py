"""Describing a feature: where it fires is what a plain search finds, and what it promotes is what adding it does."""

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, get_tool
from vesalius.tools._dictionary import Dictionary, Transcoder
from vesalius.tools._dictionary_file import save_dictionary
from vesalius.tools.describe_feature import DescribeFeatureArgs, describe_feature, direct_path

TEXTS = ("w1 w2 w3 w4 w5", "w6 w2", "w7 w1 w1", "w9 w4 w4 w4", "w10 w11", "w6 w2")


@pytest.fixture
def described(subject, tmp_path):
    """Describes features of a random dictionary of the subject."""
    generator = torch.Generator().manual_seed(3)
    layers = tuple(
        Transcoder(
            layer,
            torch.randn(20, 24, generator=generator),
            torch.randn(20, generator=generator),
            torch.randn(20, 24, generator=generator),
            torch.zeros(24),
            "topk",
            k=8,
        )
        for layer in range(3)
    )
    dictionary = Dictionary("random", subject.key.fingerprint, layers)
    save_dictionary(dictionary, tmp_path / "random.safetensors")

    def call(feature, **args):
        given = {"feature": feature, "texts": TEXTS, "dictionary": str(tmp_path / "random.safetensors")} | args
        return dictionary, describe_feature(subject, DescribeFeatureArgs(**given))

    return call


def test_contexts_are_those_of_a_plain_search(subject, described):
    dictionary, found = described("1/4", top_k=3)
    peaks, active, count = {}, 0, 0
    for text in dict.fromkeys(TEXTS):
        mlp_in = subject.run(subject.tokenise([text]), read=["mlp_in.1"]).sites["mlp_in.1"][0]
        acts = dictionary.at(1).encode(mlp_in)[:, 4]
        active, count = active + int((acts > 0).sum()), count + len(acts)
        if acts.max() > 0:
            peaks[text] = acts.max().item()
    due = sorted(peaks, key=lambda text: -peaks[text])[:3]
    assert [context.text for context in found.contexts] == due
    for context in found.contexts:
        assert context.peak_activation == pytest.approx(peaks[context.text], abs=1e-4)
        assert context.activations[context.peak] == context.peak_activation == max(context.activations)
        assert len(context.activations) == len(context.tokens)
    assert found.frequency == pytest.approx(active / count)
    assert (found.n_texts, found.n_tokens) == (5, count)
    if peaks:
        assert found.max_activation == pytest.approx(max(peaks.values()), abs=1e-4)


def test_promoted_tokens_are_those_that_adding_the_feature_raises(subject, described):
    dictionary, found = described("2/7", top_k=39)
    # Added before the final norm and with that norm's denominator held, the logits move by the listed weights.
    write, norm = dictionary.at(2).W_dec[7], subject.final_norm
    resid = subject.run(subject.tokenise(["w1 w2"]), read=["resid_post.2"]).sites["resid_post.2"][0, -1]

    def logits(stream):
        centred = stream - stream.mean() if norm.centred else stream
        return (centred / norm.scale(resid) * norm.weight) @ subject.W_U

    moved = (logits(resid + write) - logits(resid)) * norm.scale(resid)
    moved = moved - moved.mean()
    assert torch.allclose(direct_path(subject, write), moved, atol=1e-4)
    names = subject.token_strings(list(range(40)))
    by_name = dict(zip(names, moved.tolist(), strict=True))
    for listed, sign in ((found.promoted, 1), (found.suppressed, -1)):
        due = sorted(by_name.values(), key=lambda value: -sign * value)[:39]
        assert [token.weight for token in listed] == pytest.approx(due, abs=1e-4)
        assert [by_name[token.token] for token in listed] == pytest.approx(due, abs=1e-4)


def test_a_feature_that_writes_nothing_promotes_nothing(subject):
    assert direct_path(subject, torch.zeros(24)).abs().max() == 0


def test_every_argument_matters(described):
    (_, one), (_, other) = described("1/4"), described("1/5")
    assert one.promoted != other.promoted
    assert len(described("1/4", top_k=2)[1].promoted) == 2
    assert described("1/4", texts=TEXTS[:1])[1].n_tokens == 6
    assert described("1/4", dictionary="neurons")[1].dictionary_digest != one.dictionary_digest


def hand_made(folder) -> Subject:
    """A model whose first layer reads the token alone; its feature 0/0 reads w4 and writes towards w8's logit."""
    model = writing_nothing("o_proj")
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 0
        model.model.embed_tokens.weight[7] = 2 * torch.eye(24)[0]  # w4
        model.lm_head.weight[:, 1] = 0
        model.lm_head.weight[11, 1] = 4.0  # w8
        model.lm_head.weight[12, 1] = -2.0  # w9
    (folder / "text.json").write_text('{"texts": ["w3 w4", "w1 w2", "w4 w4 w1"]}')
    subject = Subject(model, word_tokenizer(), "hand-made", folder, None)
    unit = torch.eye(24)
    one = Transcoder(0, unit[:1], torch.zeros(1) - 1, unit[1:2], torch.zeros(24), "relu")
    path = folder / "dictionaries" / "transcoders.safetensors"
    save_dictionary(Dictionary("transcoders", subject.key.fingerprint, (one,)), path)
    return subject


def test_a_known_feature_is_found_in_the_models_own_texts(tmp_path):
    found = describe_feature(hand_made(tmp_path), DescribeFeatureArgs(feature="0/0", top_k=1))
    assert found.max_activation == pytest.approx(24**0.5 - 1, abs=1e-3)
    assert found.frequency == pytest.approx(3 / 10)  # w4 three times; <bos> counts as a token
    (context,) = found.contexts
    assert (context.text, context.peak) in {("w3 w4", 2), ("w4 w4 w1", 1)}
    mean = (4.0 - 2.0) / 40
    assert [(t.token, t.weight) for t in found.promoted] == [("w8", pytest.approx(4 - mean, abs=1e-5))]
    assert [(t.token, t.weight) for t in found.suppressed] == [("w9", pytest.approx(-2 - mean, abs=1e-5))]


def test_a_feature_that_never_fires_has_no_context(tmp_path):
    found = describe_feature(hand_made(tmp_path), DescribeFeatureArgs(feature="0/0", texts=("w1 w2",)))
    assert (found.contexts, found.frequency, found.max_activation) == ((), 0, 0)


@pytest.mark.parametrize(
    ("args", "mend"),
    [
        ({"feature": "1.4"}, "LAYER/FEATURE, for example 1/37"),
        ({"feature": "1/40"}, r"Features: 0\.\.39"),
        ({"feature": "7/4"}, "Its layers: 0, 1, 2"),
        ({"dictionary": "missing"}, "vesalius dictionary train"),
        ({"texts": ()}, "Pass some in `texts`"),
        ({"texts": ("w1 zebra",)}, "Use words the model knows"),
    ],
)
def test_what_cannot_be_described_is_refused_with_the_mend(args, mend):
    given = {"feature": "1/4", "dictionary": "neurons", "texts": TEXTS} | args
    with pytest.raises(ToolError, match=mend):
        describe_feature(make_subject("llama"), DescribeFeatureArgs(**given))


def test_the_same_request_gives_the_same_digest():
    args = DescribeFeatureArgs(feature="1/4", dictionary="neurons", texts=TEXTS)
    one, other = (get_tool("describe_feature").measure(make_subject("gpt2"), args) for _ in range(2))
    assert one.digest == other.digest
