"""Supernodes exchanged and taken out: second roads over patches and interventions, bit-exact no-ops, fair controls."""

import pytest
import torch
from conftest import make_subject
from pydantic import ValidationError
from random_dictionaries import N_FEATURES, random_dictionary
from vesalius.tools import ToolError, get_tool
from vesalius.tools._dictionary import neurons_of
from vesalius.tools._dictionary_file import save_dictionary
from vesalius.tools._supernode_runs import SupernodeRuns, aligned, group_of
from vesalius.tools._supernode_writing import written
from vesalius.tools.patch import patch
from vesalius.tools.supernode_effect import SupernodeEffectArgs, supernode_effect

PAIRS = [  # they differ in the last token alone, so that only there anything can be exchanged
    {"base": "w1 w2 w3", "corrupted": "w1 w2 w9", "answer": "w4", "foil": "w5"},
    {"base": "w6 w7 w8", "corrupted": "w6 w7 w10", "answer": "w11", "foil": "w12"},
    {"base": "w2 w2 w1 w3", "corrupted": "w2 w2 w1 w7", "answer": "w9", "foil": "w1"},
]


def args(features, mode="swap", pairs=PAIRS, dictionary="neurons", **more) -> SupernodeEffectArgs:
    more = {"supernode": "S", "features": features, "mode": mode, "pairs": pairs, "dictionary": dictionary, **more}
    return SupernodeEffectArgs.model_validate(more)


def every_neuron(subject, layer: int) -> list[str]:
    return [f"{layer}/{i}" for i in range(subject.shape.d_mlp)]


def test_exchanging_every_neuron_of_a_layer_is_patching_that_layer(subject):
    found = supernode_effect(subject, args(every_neuron(subject, 1))).cells[0]
    due = get_tool("patch").parse({"pairs": PAIRS, "sites": ["mlp_act.1"], "positions": ["last"]})
    assert found.drops == pytest.approx(patch(subject, due).cells[0].drops, abs=1e-4)
    assert any(abs(drop) > 1e-3 for drop in found.drops)


@pytest.mark.parametrize("kind", ["relu", "cross-layer"])
@pytest.mark.parametrize("family", ["gpt2", "gemma3_text", "gpt_neox"])  # no cap on logits: links are before it
def test_taking_features_out_is_what_intervening_on_them_does(tmp_path, family, kind):
    subject = make_subject(family)
    path = tmp_path / "some.safetensors"
    dictionary = random_dictionary(subject, kind)
    save_dictionary(dictionary, path)
    names = ["0/3", "0/11", "1/7"]
    found = supernode_effect(subject, args(names, "ablate", dictionary=str(path), force_dictionary=True))
    tool = get_tool("intervene_features")
    for pair, drop, kept in zip(PAIRS, found.cells[0].drops, found.kept_answer, strict=True):
        active = [n for n in names if _is_active(subject, dictionary, n, pair["base"])]
        moved = 0.0
        if active:
            asked = {"prompt": pair["base"], "features": active, "dictionary": str(path), "force_dictionary": True}
            result = tool(subject, tool.parse({**asked, "answers": [pair["answer"]], "top_k": 0}))
            answer = result.tokens[0]
            moved = -answer.moved
        assert drop == pytest.approx(moved, abs=1e-4)
        assert isinstance(kept, bool)
    assert any(abs(drop) > 1e-3 for drop in found.cells[0].drops)


def _is_active(subject, dictionary, name: str, prompt: str) -> bool:
    layer, feature = dictionary.feature(name)
    tokens = subject.tokenise([prompt])
    acts = layer.acts(subject.run(tokens, read=[layer.reads]).sites[layer.reads])
    return bool(acts[subject.reader.is_text(tokens)][:, feature].any())


def test_groups_given_what_they_have_on_the_prompt_itself_change_no_bit(subject):
    names = every_neuron(subject, 0) + every_neuron(subject, 2)
    assert supernode_effect(subject, args(names)).no_op_change == 0.0


def test_the_no_op_runs_the_way_of_a_swap(monkeypatch):
    """Were a source aligned one token off, the no-op would tell."""
    from vesalius.tools import _supernode_runs

    def one_off(base, source):
        return [None, *range(len(source) - 1)]

    monkeypatch.setattr(_supernode_runs, "aligned", one_off)
    subject = make_subject("llama")
    assert supernode_effect(subject, args(every_neuron(subject, 1))).no_op_change > 1e-3


@pytest.mark.parametrize("mode", ["swap", "ablate"])
def test_the_base_prompts_are_read_once_and_once_more_for_random_groups(monkeypatch, mode):
    subject = make_subject("llama")
    read, run = [], type(subject).run

    def counting(self, tokens, read_sites=(), write=None, **more):
        sites = more.pop("read", read_sites)
        if sites:
            read.append(subject.tokenizer.decode(tokens.ids[0]))
        return run(self, tokens, read=sites, write=write)

    monkeypatch.setattr(type(subject), "run", counting)
    counts = []
    for draws in (0, 20):
        read.clear()
        supernode_effect(subject, args(["1/3", "1/4"], mode, random_draws=draws))
        counts.append(sum("w3" in text for text in read))
    assert counts == ([1, 1] if mode == "swap" else [1, 2])


def test_activations_of_the_base_itself_move_nothing_and_the_group_counts_as_idle(subject):
    dictionary, bases = neurons_of(subject), [pair["base"] for pair in PAIRS]
    runs = SupernodeRuns(subject, dictionary, bases, bases, group_of(dictionary, every_neuron(subject, 1)), [{}] * 3)
    assert torch.equal(runs.changed(), runs.logits)
    assert runs.idle.tolist() == [True, True, True]


def test_what_counts_is_what_the_group_adds_to_its_counterpart():
    """Each pair with its own counterpart, against runs in which the counterpart is a group of its own."""
    subject = make_subject("llama")
    both = {"mine": ("1/5", "1/6"), "theirs": ("1/20",)}
    pairs = [{**PAIRS[0], "counterpart": "mine"}, {**PAIRS[1], "counterpart": "theirs"}, PAIRS[2]]
    found = supernode_effect(subject, args(["1/3"], pairs=pairs, counterparts=both))
    due = []
    for pair in pairs:
        put_in = list(both.get(pair.get("counterpart", ""), ()))
        plain = {name: word for name, word in pair.items() if name != "counterpart"}
        whole, alone = (
            supernode_effect(subject, args(names, pairs=[plain])).cells[0].drops[0] if names else 0.0
            for names in (["1/3", *put_in], put_in)
        )
        due.append((whole, alone))
    assert found.cells[0].drops == pytest.approx([whole - alone for whole, alone in due], abs=1e-4)
    assert found.together * found.gap == pytest.approx(sum(whole for whole, _ in due) / 3, abs=1e-4)
    assert found.others_alone * found.gap == pytest.approx(sum(alone for _, alone in due) / 3, abs=1e-4)
    assert any(abs(alone) > 1e-3 for _, alone in due)


def test_a_group_that_is_active_nowhere_adds_nothing_whatever_is_put_in(tmp_path):
    subject = make_subject("llama")
    dictionary = random_dictionary(subject, "relu")
    save_dictionary(dictionary, tmp_path / "some.safetensors")
    texts = [PAIRS[0]["base"], PAIRS[0]["corrupted"]]
    idle, *_ = (
        f"1/{i}" for i in range(N_FEATURES) if not any(_is_active(subject, dictionary, f"1/{i}", t) for t in texts)
    )
    active = [f"1/{i}" for i in range(N_FEATURES) if _is_active(subject, dictionary, f"1/{i}", texts[1])]
    more = {"dictionary": str(tmp_path / "some.safetensors"), "force_dictionary": True}
    pairs = [{**PAIRS[0], "counterpart": "other"}]
    found = supernode_effect(subject, args([idle], pairs=pairs, counterparts={"other": active}, **more))
    assert (found.cells[0].drops, found.idle, found.size) == ((0.0,), (True,), 0.0)
    assert abs(found.others_alone) > 1e-3


def test_random_directions_write_as_far_at_every_token_and_are_none_of_the_changed():
    subject = make_subject("llama")
    dictionary = random_dictionary(subject, "relu")
    group = group_of(dictionary, ["0/3", "0/11", "1/7"])
    put_in = [group_of(dictionary, ["1/9"]), {}, {}]
    bases, sources = ([pair[name] for pair in PAIRS] for name in ("base", "corrupted"))
    runs = SupernodeRuns(subject, dictionary, bases, sources, group, put_in)
    for layer in runs._layers:
        assert not set(layer.alive) & {*layer.own, *layer.others}
        assert not layer.others_delta[1:].any()
        own, other = (
            dict(written(layer.features, layer.own, layer.own_delta, names))
            for names in (layer.own, layer.alive[: len(layer.own)])
        )
        for site, value in own.items():
            assert torch.allclose(value.norm(dim=-1), other[site].norm(dim=-1), atol=1e-4)
            assert value.norm() < 1e-4 or not torch.allclose(value, other[site], atol=1e-2)


@pytest.mark.parametrize("kind", ["relu", "cross-layer"])
def test_a_random_group_does_what_taking_out_that_very_group_does(tmp_path, kind):
    """So each is a group of features at its own activations: no direction, and nowhere but where it fires."""
    subject = make_subject("gpt2")
    dictionary = random_dictionary(subject, kind)
    save_dictionary(dictionary, tmp_path / "some.safetensors")
    own = ["0/3", "1/7", "1/11"]
    pairs = [*PAIRS, *({**PAIRS[0], "base": f"w{n} w{n + 7} w{2 * n % 17} w{n + 1}"} for n in range(1, 9))]
    more = {"dictionary": str(tmp_path / "some.safetensors"), "force_dictionary": True, "pairs": pairs}
    found = supernode_effect(subject, args(own, "ablate", random_draws=20, **more))
    (cell,) = found.cells
    assert len(found.random_groups) == len(found.random_sizes) == len(cell.random_effects) == 20
    for group, size, effect in list(zip(found.random_groups, found.random_sizes, cell.random_effects, strict=True))[:6]:
        assert not set(group) & set(own)
        assert all(any(_is_active(subject, dictionary, name, pair["base"]) for pair in pairs) for name in group)
        again = supernode_effect(subject, args(group, "ablate", **more))
        assert again.cells[0].effect == pytest.approx(effect, abs=1e-5)
        assert again.size == pytest.approx(size)
    assert max(cell.random_effects) - min(cell.random_effects) > 1e-3


def test_random_groups_have_the_groups_layers_number_and_size(tmp_path):
    subject = make_subject("llama")
    save_dictionary(random_dictionary(subject, "relu"), tmp_path / "some.safetensors")
    more = {"dictionary": str(tmp_path / "some.safetensors"), "force_dictionary": True}
    found = supernode_effect(subject, args(["0/3", "1/7", "1/11"], "ablate", random_draws=40, **more))
    for group in found.random_groups:
        layers = [name.split("/")[0] for name in group]
        assert layers.count("0") >= 1
        assert layers.count("1") >= 2
        assert set(layers) == {"0", "1"}
    assert sum(found.random_sizes) / 40 == pytest.approx(found.size, rel=0.15)


def test_the_size_of_a_group_is_what_it_writes_over_all_prompts_and_tokens():
    subject = make_subject("gpt2")
    found = supernode_effect(subject, args(["1/3"], "ablate"))
    tokens = subject.tokenise([pair["base"] for pair in PAIRS])
    acts = subject.run(tokens, read=["mlp_act.1"]).sites["mlp_act.1"][..., 3] * subject.reader.is_text(tokens)
    assert found.size == pytest.approx(acts.abs().sum().item() * subject.weights(1).W_down[3].norm().item(), rel=1e-5)


def test_random_features_repeat_with_their_seed_and_not_with_another():
    subject = make_subject("gpt2")
    for mode in ("ablate", "swap"):
        drawn = [
            supernode_effect(subject, args(["1/3", "1/4"], mode, random_draws=20, seed=seed)).cells[0].random_effects
            for seed in (0, 0, 1)
        ]
        assert drawn[0] == drawn[1] != drawn[2]
        assert len(set(drawn[0])) > 10


@pytest.mark.parametrize(
    ("base", "source", "due"),
    [
        ([1, 2, 3], [1, 2, 3], [0, 1, 2]),
        ([1, 5, 3], [1, 6, 3], [0, 1, 2]),
        ([1, 5, 3], [1, 6, 7, 3], [0, 2, 3]),
        ([1, 5, 8, 3], [1, 6, 3], [0, None, 1, 2]),
        ([1, 5, 5, 3], [1, 5, 3], [0, 1, None, 2]),
        ([5, 8], [6], [None, 0]),
        ([1, 2], [1, 2, 9], [0, 1]),
    ],
)
def test_tokens_are_compared_from_both_ends(base, source, due):
    assert aligned(base, source) == due


def test_every_token_has_at_most_one_counterpart_and_they_keep_their_order():
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        sizes = torch.randint(1, 8, (2,), generator=generator).tolist()
        base, source = (torch.randint(0, 3, (size,), generator=generator).tolist() for size in sizes)
        places = aligned(base, source)
        met = [place for place in places if place is not None]
        assert len(places) == len(base)
        assert met == sorted(set(met))
        assert all(0 <= place < len(source) for place in met)


TURNED = {"base": PAIRS[0]["corrupted"], "corrupted": PAIRS[0]["base"], "answer": "w4", "foil": "w5"}


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ({"features": ["1/3", "1/3"]}, "Name each once"),
        ({"features": ["9/3"]}, "Its layers"),
        ({"features": ["1/4000"]}, "Features"),
        ({"features": ["1/3"], "pairs": [{**PAIRS[0], "foil": " w4"}]}, "give two different words"),
        ({"features": ["1/3"], "pairs": [PAIRS[0], TURNED]}, "counterfactuals that change"),
        ({"features": every_neuron(make_subject("llama"), 1)[:39], "random_draws": 20}, "smaller group"),
        ({"features": every_neuron(make_subject("llama"), 1)[:39], "random_draws": 20, "mode": "ablate"}, "smaller"),
        ({"features": ["1/3"], "pairs": [{**PAIRS[0], "corrupted": "w1  w2 w3 "}]}, "itself: give another"),
        ({"features": ["1/3"], "mode": "ablate", "pairs": [{**PAIRS[0], "corrupted": "w1 w2 w3"}]}, "give another"),
        ({"features": ["1/3"], "pairs": [{**PAIRS[0], "source": " w1 w2 w3"}]}, "exchanges nothing: take another"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_mend(given, mend):
    with pytest.raises((ToolError, ValidationError), match=mend):
        supernode_effect(make_subject("llama"), args(**given))


@pytest.mark.parametrize("features", [["1/3", "2/5"], ["2/5", "1/3"], ["01/3", " 2/05"], ["2/5"]])
def test_a_group_is_not_exchanged_for_itself_or_a_part_of_it(monkeypatch, features):
    """It would be taken for what the group adds to another, though nothing else were put in."""
    subject = make_subject("llama")
    monkeypatch.setattr(type(subject), "run", lambda *_, **__: pytest.fail("refused too late"))
    tool = get_tool("supernode_effect")
    pairs = [{**PAIRS[0], "counterpart": "twin"}]
    asked = {"supernode": "S", "features": ["1/3", "2/5"], "mode": "swap", "pairs": pairs}
    with pytest.raises(ToolError, match=r"'twin' has no feature .* name a group with features of its own"):
        tool(subject, tool.parse({**asked, "counterparts": {"twin": features}}))
    assert tool.parse({**asked, "counterparts": {"twin": [*features, "2/6"]}}).mode == "swap"


def test_a_counterpart_that_is_not_given_is_refused():
    tool = get_tool("supernode_effect")
    asked = {"supernode": "S", "features": ["1/3"], "mode": "swap", "pairs": [{**PAIRS[0], "counterpart": "gone"}]}
    with pytest.raises(ToolError, match="'gone'"):
        tool.parse(asked)
    with pytest.raises(ToolError, match="takes no counterparts"):
        tool.parse(asked | {"mode": "ablate"})
