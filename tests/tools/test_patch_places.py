"""What `patch` can write besides a source's value at a site: features, resampled values, and the other direction."""

import pytest
import torch
from conftest import make_subject
from random_dictionaries import random_dictionary
from vesalius.tools import ToolError, load_tools
from vesalius.tools._dictionary_file import save_dictionary
from vesalius.tools._patch_places import places_of
from vesalius.tools.patch import PatchArgs, patch

PAIRS = [
    {"base": "w1 w2 w3", "corrupted": "w1 w9 w5", "answer": "w4", "foil": "w5"},
    {"base": "w6 w7 w8 w2", "corrupted": "w6 w10 w8 w9", "answer": "w11", "foil": "w12"},
]
LAST = torch.tensor([3, 4])  # of the bases and of the counterfactuals


def patched(subject, *sites: str, **more):
    return patch(subject, PatchArgs.model_validate({"pairs": PAIRS, "sites": sites, **more}))


def tokens(subject, kind: str):
    return subject.tokenise([pair[kind] for pair in PAIRS])


def difference(subject, kind: str, write=None) -> torch.Tensor:
    logits = subject.run(tokens(subject, kind), write=write).last_logits
    words = [[subject.answer_token(p["base"], p[word]) for word in ("answer", "foil")] for p in PAIRS]
    return torch.stack([row[a] - row[b] for row, (a, b) in zip(logits, words, strict=True)])


def drops(cell) -> torch.Tensor:
    return torch.tensor(cell.drops)


def test_restoring_the_whole_stream_restores_the_answer(subject):
    result = patched(subject, "resid_post.2", direction="denoising")
    assert result.cells[0].effect == pytest.approx(1, abs=1e-4)
    assert result.gap == pytest.approx(patched(subject, "resid_post.2").gap, abs=1e-5)
    assert result.no_op_change == 0.0


def test_restoring_is_the_counterfactual_run_with_the_bases_value():
    subject = make_subject("llama")
    value = subject.run(tokens(subject, "base"), read=["head.1.2"]).sites["head.1.2"]

    def put(current):
        current = current.clone()
        current[torch.arange(2), LAST] = value[torch.arange(2), LAST]
        return current

    due = difference(subject, "corrupted", {"head.1.2": put}) - difference(subject, "corrupted")
    result = patched(subject, "head.1.2", direction="denoising")
    assert torch.allclose(drops(result.cells[0]), due, atol=1e-5)
    assert torch.allclose(torch.tensor(result.corrupted), difference(subject, "corrupted"), atol=1e-5)


def test_restored_answers_count_as_moved_where_they_win():
    subject = make_subject("llama")
    prompts = [f"w1 w{i} w3" for i in range(2, 20)]
    best = subject.token_strings(subject.run(subject.tokenise(prompts)).last_logits.argmax(-1).tolist())
    other = next(i for i, top in enumerate(best) if top != best[0])
    pair = {"base": prompts[0], "corrupted": prompts[other], "answer": best[0], "foil": best[other]}
    result = patched(subject, "resid_post.2", pairs=[pair], positions=("last", "0"), direction="denoising")
    assert [cell.answers_moved for cell in result.cells] == [(True,), (False,)]  # nothing differs at `<bos>`


def test_queries_keys_and_values_of_all_heads_at_the_last_token_are_attentions_output(subject):
    """In the last block, where the last token alone differs, attention reads nothing else that does."""
    pairs = [{**PAIRS[0], "corrupted": "w1 w2 w4"}]
    counts = {"q": subject.shape.n_heads, "k": subject.shape.n_kv_heads, "v": subject.shape.n_kv_heads}
    sites = [f"{kind}.2.{head}" for kind, count in counts.items() for head in range(count)]
    joint, whole = patched(subject, *sites, pairs=pairs, joint=True), patched(subject, "attn_out.2", pairs=pairs)
    assert joint.cells[0].drops == pytest.approx(whole.cells[0].drops, abs=1e-4)
    assert joint.no_op_change == 0.0


def test_a_neuron_is_its_column_of_the_neurons():
    subject = make_subject("gpt2")
    read = subject.run(tokens(subject, "corrupted"), read=["mlp_act.1"]).sites["mlp_act.1"]

    def put(current):
        current = current.clone()
        current[torch.arange(2), LAST, 7] = read[torch.arange(2), LAST, 7]
        return current

    due = difference(subject, "base") - difference(subject, "base", {"mlp_act.1": put})
    result = patched(subject, "1/7", dictionary="neurons")
    assert result.cells[0].site == "1/7"
    assert torch.allclose(drops(result.cells[0]), due, atol=1e-5)
    assert due.abs().min() > 1e-4


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_a_feature_adds_what_it_writes_to_its_own_layer_and_to_later_ones(family, tmp_path):
    subject = make_subject(family)
    dictionary = random_dictionary(subject, "cross-layer")
    layer, path = dictionary.layers[1], tmp_path / "random.safetensors"
    save_dictionary(dictionary, path)
    rows = torch.arange(2)
    acts = {k: layer.acts(subject.run(tokens(subject, k), read=["mlp_in.1"]).sites["mlp_in.1"]) for k in KINDS}
    change = (acts["corrupted"] - acts["base"])[rows, LAST]
    feature = int(change.abs().amin(0).argmax())

    def add(vector):
        def edit(current):
            current = current.clone()
            current[rows, LAST] += change[:, feature, None] * vector[feature]
            return current

        return edit

    write = {"mlp_out.1": add(layer.W_dec), "mlp_out.2": add(layer.W_dec_later[0])}
    due = difference(subject, "base") - difference(subject, "base", write)
    result = patched(subject, f"1/{feature}", dictionary=str(path), random_draws=3)
    assert torch.allclose(drops(result.cells[0]), due, atol=1e-4)
    assert due.abs().max() > 1e-3
    assert result.no_op_change == 0.0
    assert len(set(result.cells[0].random_effects)) == 3


KINDS = ("base", "corrupted")


def test_every_neuron_of_a_layer_together_is_that_layer_of_neurons():
    """Several features write to one site, one after the other."""
    subject = make_subject("gemma2")
    features = [f"1/{neuron}" for neuron in range(subject.shape.d_mlp)]
    (joint,) = patched(subject, *features, dictionary="neurons", joint=True).cells
    (whole,) = patched(subject, "mlp_act.1").cells
    assert joint.drops == pytest.approx(whole.drops, abs=1e-4)


@pytest.mark.parametrize("kind", ["neurons", "cross-layer"])
def test_another_feature_writes_elsewhere_but_as_much(kind):
    subject = make_subject("gpt2")
    dictionary = random_dictionary(subject, kind)
    (place,) = places_of(subject, ["1/3"], lambda: dictionary)
    other = place.another(torch.Generator().manual_seed(0))
    assert [site for site, _ in other.writes] == [site for site, _ in place.writes]
    for (site, mine), (_, theirs) in zip(place.writes, other.writes, strict=True):
        written = [one @ subject.weights(1).W_down if kind == "neurons" else one for one in (mine, theirs)]
        assert written[0].norm() == pytest.approx(written[1].norm().item(), rel=1e-4), site
        assert not torch.allclose(*written)


def test_resampling_takes_the_value_of_another_pairs_source():
    """Of two pairs each has one other source, so the value is certain."""
    subject = make_subject("qwen2")
    (drawn,) = patched(subject, "mlp_out.1", value="resample").cells
    swapped = [{**pair, "source": other["corrupted"]} for pair, other in zip(PAIRS, PAIRS[::-1], strict=True)]
    (due,) = patched(subject, "mlp_out.1", pairs=swapped).cells
    assert drawn.drops == due.drops


def test_resampling_from_reference_prompts_follows_the_seed():
    subject = make_subject("gpt2")
    reference = [{"prompt": f"w{i} w{i + 1}"} for i in range(12, 24)]
    one, again, other = (
        patched(subject, "resid_post.1", value="resample", reference=reference, seed=seed).cells[0].drops
        for seed in (0, 0, 3)
    )
    assert one == again
    assert one != other
    singles = [patched(subject, "resid_post.1", value="mean", reference=[each]).cells[0].drops for each in reference]
    for pair in range(2):
        assert min(abs(one[pair] - single[pair]) for single in singles) < 1e-5


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"sites": ["9/1"], "dictionary": "neurons"}, "Its layers: 0, 1, 2"),
        ({"sites": ["1/9999"], "dictionary": "neurons"}, r"Features: 0\.\.95"),
        ({"sites": ["1/x"], "dictionary": "neurons"}, "LAYER/FEATURE"),
        ({"value": "resample", "pairs": PAIRS[:1]}, "Give `reference` prompts"),
        ({"direction": "denoising", "pairs": [{**PAIRS[0], "source": "w1 w1 w1"}]}, "Leave `source` empty"),
        ({"direction": "backwards"}, "'noising' or 'denoising'"),
    ],
)
def test_what_cannot_be_patched_is_refused_with_the_mend(change, mend):
    tool = load_tools()["patch"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"pairs": PAIRS, "sites": ["resid_pre.0"], **change}))
