"""Contextual decomposition: rules worked by hand, models with one path, patching and held modules, errors."""

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from held_hugging_face import HeldModel
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools._block_parts import Norm
from vesalius.tools._circuit_graph import CircuitGraph
from vesalius.tools._split_rules import Parts, Rules
from vesalius.tools.contextual_decomposition import ContextualDecompositionArgs, contextual_decomposition
from vesalius.tools.patch import PatchArgs, patch

PAIRS = [
    {"base": "w1 w2 w3", "corrupted": "w1 w9 w3", "answer": "w4", "foil": "w5"},
    {"base": "w6 w2 w3 w8", "corrupted": "w6 w12 w3 w8", "answer": "w4", "foil": "w7"},
]
ENTITIES = ({"base_entity": "w2", "source_entity": "w9"}, {"base_entity": "w2", "source_entity": "w12"})
PAIRS = [pair | entity for pair, entity in zip(PAIRS, ENTITIES, strict=True)]
COMMON = [{"prompt": "w1 w2 w3", "entity": "w2"}, {"prompt": "w1 w20 w3", "entity": "w20"}]
HELD = {"norms": "frozen", "attention": "frozen"}
EXACT = {"constants": "irrelevant"}
PLAIN = Rules(live_norms=False, live_attention=False, order="difference", share_constants=True, absorb=False)


def split(subject, **more):
    return contextual_decomposition(subject, ContextualDecompositionArgs.model_validate({"pairs": PAIRS, **more}))


def by_source(result) -> dict[str, tuple[float, ...]]:
    return {one.source: one.relevances for one in result.relevances}


def differences(subject, logits: torch.Tensor) -> torch.Tensor:
    """Answer minus foil of every pair, of logits [pair, vocab]."""
    tokens = [[subject.answer_token(p["base"], p[word]) for word in ("answer", "foil")] for p in PAIRS]
    chosen = logits.gather(1, torch.tensor(tokens))
    return chosen[:, 0] - chosen[:, 1]


def parts(rel, irrel) -> Parts:
    return Parts(torch.tensor(rel), torch.tensor(irrel))


def silent(*names: str) -> Subject:
    return Subject(writing_nothing(*names), word_tokenizer(), "silent", None, None)


def test_a_constant_is_shared_by_the_sizes_of_the_parts():
    shared = PLAIN.constant(parts([3.0, 0.0, 0.0, 2.0], [-1.0, 5.0, 0.0, 0.0]), torch.tensor([8.0, 8.0, 8.0, 8.0]))
    assert shared.rel.tolist() == [9.0, 0.0, 0.0, 10.0]
    assert shared.irrel.tolist() == [1.0, 13.0, 8.0, 0.0]


@pytest.mark.parametrize(("order", "rel", "irrel"), [("difference", 1.0, 0.0), ("shapley", 2.0, -1.0)])
def test_a_curve_gives_what_is_lost_without_a_part(order, rel, irrel):
    rules = Rules(False, False, order, share_constants=True, absorb=False)
    out = rules.curve(torch.relu, parts([[3.0]], [[-2.0]]))
    assert (out.rel.item(), out.irrel.item()) == (rel, irrel)


def test_what_a_curve_makes_of_nothing_is_shared_as_a_constant():
    out = PLAIN.curve(lambda x: x + 4, parts([[3.0]], [[-1.0]]))
    assert (out.rel.item(), out.irrel.item()) == (6.0, 0.0)


def test_a_frozen_norm_divides_both_parts_by_the_denominator_of_the_whole():
    norm = Norm(torch.tensor([2.0, 1.0]), torch.tensor([0.0, 6.0]), eps=0.0, centred=True)
    out = PLAIN.norm(norm, parts([[5.0, 1.0]], [[-1.0, 7.0]]))  # whole 4, 8: centred -2, 2, denominator 2
    assert out.rel.tolist() == [[2.0, -1.0 + 2.0]]
    assert out.irrel.tolist() == [[-4.0, 2.0 + 4.0]]


def test_the_larger_part_absorbs_the_smaller_of_opposite_sign():
    settled = Rules(False, False, "difference", True, absorb=True).settled(parts([3.0, 1.0, 2.0], [-1.0, -4.0, 5.0]))
    assert settled.rel.tolist() == [2.0, 0.0, 2.0]
    assert settled.irrel.tolist() == [0.0, -3.0, 5.0]


def test_where_nothing_but_the_embedding_writes_it_has_all_relevance_at_the_last_token():
    subject = silent("o_proj", "down_proj")
    pair = {"base": "w1 w3 w2", "corrupted": "w1 w3 w9", "answer": "w4", "foil": "w5"}
    result = split(subject, pairs=[pair], positions=("last", "1"), against="zero")
    found = {(one.source, one.position): one.relevances for one in result.relevances}
    logits = subject.run(subject.tokenise(["w1 w3 w2"])).last_logits[0]
    due = logits[subject.answer_token("w1", "w4")] - logits[subject.answer_token("w1", "w5")]
    assert found.pop(("embed", "last")) == pytest.approx((due.item(),), abs=1e-5)
    assert set(found.values()) == {(0.0,)}


def test_deviation_from_a_mean_is_the_hand_worked_one():
    subject = silent("o_proj", "down_proj")
    pair = {"base": "w1 w3 w2", "corrupted": "w1 w3 w9", "answer": "w4", "foil": "w5"}
    common = [{"prompt": "w7 w5"}, {"prompt": "w7 w6"}]
    result = split(subject, pairs=[pair], nodes=["embed"], positions=["last"], against="mean", reference=common, **HELD)
    table, norm, ids = subject.W_E, subject.final_norm, [subject.answer_token("w1", f"w{i}") for i in (2, 4, 5, 6)]
    own, answer, foil, other = ids
    deviation = table[own] - (table[foil] + table[other]) / 2  # the prompts of the mean end in w5 and w6
    due = deviation / norm.scale(table[own]) * norm.weight @ (subject.W_U[:, answer] - subject.W_U[:, foil])
    assert result.relevances[0].relevance == pytest.approx(due.item(), rel=1e-5)


def test_a_circuit_walks_back_from_the_answer_through_what_each_part_reads():
    subject = silent("down_proj", "layers.0.self_attn.o_proj", "layers.2.self_attn.o_proj")
    result = split(subject, positions=["all"], against="zero", steps=3, per_step=9, smallest=1e-3)
    first = [part for part in result.circuit if part.step == 1]
    assert {part.node for part in first} == {"embed", *(f"head.1.{head}" for head in range(4))}
    assert {part.target for part in first} == {"logits"}
    shares = {part.node: part.share for part in first}
    assert shares["embed"] * result.gap == pytest.approx(sum(result.clean) / 2, abs=1e-4)
    later = {(part.step, part.node, part.target): part.share for part in result.circuit if part.step > 1}
    heads = [f"{kind}.1.{head}" for kind, count in (("q", 4), ("k", 2), ("v", 2)) for head in range(count)]
    assert set(later) == {(2, "embed", slot) for slot in heads}
    assert list(later.values()) == pytest.approx([1.0] * len(heads), abs=1e-4)


@pytest.mark.parametrize("rules", [{"absorb": True, **HELD}, {"order": "shapley"}])
def test_parts_add_up_everything_is_the_answer_and_nothing_is_nothing(subject, rules):
    result = split(subject, **rules)
    assert result.split_error < 1e-5
    assert result.nothing_relevance == 0.0
    assert result.everything_missed < 1e-4
    assert max(abs(value) for one in result.relevances for value in one.relevances) > 0.1


def test_a_source_that_equals_what_it_is_counted_from_is_not_relevant():
    result = split(make_subject("mistral"), positions=["0"])  # `<bos>`
    assert {one.relevances for one in result.relevances} == {(0.0, 0.0)}


def test_with_all_live_and_constants_irrelevant_relevance_is_the_effect_of_patching(subject):
    nodes = CircuitGraph(subject.shape).nodes
    found = split(subject, positions=["entity"], **EXACT)
    sites = ["resid_pre.0" if node == "embed" else node for node in nodes]
    cells = patch(subject, PatchArgs.model_validate({"pairs": PAIRS, "sites": sites, "positions": ["entity"]})).cells
    assert [one.source for one in found.relevances] == list(nodes)
    for one, cell in zip(found.relevances, cells, strict=True):
        assert one.relevances == pytest.approx(cell.drops, abs=1e-4), one.source
        assert one.share == pytest.approx(cell.effect, abs=1e-3)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_sources_relevant_together_are_the_effect_of_patching_them_together(family):
    subject, nodes = make_subject(family), ["head.0.2", "mlp_out.1", "head.2.0"]
    (together,) = split(subject, nodes=nodes, positions=["last"], joint=True, **EXACT).relevances
    asked = {"pairs": PAIRS, "sites": nodes, "positions": ["last"], "joint": True}
    assert together.relevances == pytest.approx(
        patch(subject, PatchArgs.model_validate(asked)).cells[0].drops, abs=1e-4
    )


def test_with_patterns_and_norms_held_relevance_is_what_held_modules_lose(subject):
    found = by_source(split(subject, positions=["entity"], **HELD, **EXACT))
    for number, pair in enumerate(PAIRS):
        held = HeldModel(subject, pair["base"])
        clean, other = (
            subject.run(
                subject.tokenise([pair[kind]]), read=["resid_pre.0", "mlp_out.0", "mlp_out.1", "mlp_out.2"]
            ).sites
            for kind in ("base", "corrupted")
        )
        for node, site, layer in (("embed", "resid_pre.0", None), *((f"mlp_out.{i}",) * 2 + (i,) for i in range(3))):
            change = torch.zeros_like(clean[site])
            change[:, 2] = (other[site] - clean[site])[:, 2]  # the entity, behind `<bos>` and one word
            none = torch.zeros_like(change)
            added = {0: none} if layer is None else {layer: change}
            runs = [
                held.run(True, True, False, moved, tokens=tokens)[1]
                for moved, tokens in ((added, change if layer is None else none), ({0: none}, none))
            ]
            tokens = [subject.answer_token(pair["base"], pair[word]) for word in ("answer", "foil")]
            lost = ((runs[1] - runs[0])[0, tokens[0]] - (runs[1] - runs[0])[0, tokens[1]]).item()
            assert found[node][number] == pytest.approx(lost, abs=1e-4), node


def test_a_link_is_what_its_slot_loses_when_it_reads_the_stream_without_the_node(subject):
    groups = subject.shape.n_kv_heads
    links = [
        "embed->q.1.3",
        f"embed->v.2.{groups - 1}",
        "mlp_out.0->k.1.1",
        "mlp_out.1->mlp_in.2",
        "head.0.1->mlp_in.1",
    ]
    found = by_source(split(subject, links=[*links, "mlp_out.2->logits"], positions=["all"], **EXACT))
    names = [f"{kind}.{i}" for kind in ("resid_pre", "attn_out", "mlp_out") for i in range(3)]
    names += [f"head.0.{head}" for head in range(4)] + ["resid_post.2"]
    clean, other = (subject.run(subject.tokenise([p[k] for p in PAIRS]), read=names) for k in ("base", "corrupted"))
    before = differences(subject, clean.last_logits)
    for link in links:
        node, slot = link.split("->")
        kind, layer, *head = slot.split(".")
        weights = subject.weights(int(layer))
        stream = clean.sites[f"resid_pre.{layer}"]
        if kind == "mlp_in" and not subject.shape.parallel:
            stream = stream + clean.sites[f"attn_out.{layer}"]
        less = stream - added_to_the_stream(subject, node, clean.sites, other.sites)
        if kind == "mlp_in":
            value = weights.norm2(less)
        else:
            looks, number = subject.architecture.looks(int(layer)), int(head[0])
            number *= 1 if kind == "q" else subject.shared_by
            W, b = {"q": (looks.W_Q, looks.b_Q), "k": (looks.W_K, looks.b_K), "v": (weights.W_V, weights.b_V)}[kind]
            value = weights.norm1(less) @ W[number] + b[number]
        run = subject.run(clean.tokens, write={slot: lambda _, value=value: value})
        assert found[link] == pytest.approx((before - differences(subject, run.last_logits)).tolist(), abs=1e-4), link
    less = clean.sites["resid_post.2"] - (clean.sites["mlp_out.2"] - other.sites["mlp_out.2"])
    run = subject.run(clean.tokens, write={"resid_post.2": lambda _: less})
    lost = before - differences(subject, run.last_logits)
    assert found["mlp_out.2->logits"] == pytest.approx(lost.tolist(), abs=1e-4)


def added_to_the_stream(subject, node: str, clean, other) -> torch.Tensor:
    """What of the stream goes when a node has its counterfactual value."""
    if node == "embed":
        return clean["resid_pre.0"] - other["resid_pre.0"]
    if node.startswith("mlp"):
        return clean[node] - other[node]
    weights, number = subject.weights(0), int(node.split(".")[2])
    heads = torch.stack([clean[f"head.0.{head}"] for head in range(4)])
    together = torch.einsum("hbpd,hdm->bpm", heads, weights.W_O) + weights.b_O
    written = (clean[node] - other[node]) @ weights.W_O[number]
    if weights.post_attention is None:
        return written
    return weights.post_attention(together) - weights.post_attention(together - written)


@pytest.mark.parametrize("target", ["q.1.0", "k.2.0", "v.1.1", "mlp_in.2", "head.1.2", "mlp_out.2"])
def test_the_whole_stream_is_the_whole_deviation_of_any_component(target):
    subject = make_subject("gemma3_text")
    (found,) = split(subject, nodes=["embed"], against="zero", target=target).relevances
    assert found.relevances == pytest.approx([1.0, 1.0], abs=1e-4)
    assert found.share == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("family", ["qwen2", "gpt_neox"])
def test_what_comes_later_is_not_relevant_to_a_component(family):
    subject = make_subject(family)
    result = split(subject, nodes=["head.1.0", "mlp_out.1"], target="q.1.1", target_position="last")
    assert {one.relevances for one in result.relevances} == {(0.0, 0.0)}


def test_each_spells_out_every_token_and_only_those_that_differ_or_follow_matter():
    subject = make_subject("llama")
    result = split(subject, pairs=PAIRS[:1], nodes=["embed", "mlp_out.0"], positions=["each"])
    assert [one.position for one in result.relevances] == [at for at in "0123" for _ in range(2)]
    by_place = {(one.source, one.position): one.relevance for one in result.relevances}
    assert by_place["embed", "3"] == by_place["mlp_out.0", "1"] == 0.0
    assert 0.0 not in (by_place["embed", "2"], by_place["mlp_out.0", "2"], by_place["mlp_out.0", "3"])


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_splits_in_many_batches_are_as_in_one(family, monkeypatch):
    subject = make_subject(family)
    links = ["embed->k.1.0", "head.0.2->v.2.1", "mlp_out.1->mlp_in.2", "head.1.3->logits"]
    asked = {"nodes": CircuitGraph(subject.shape).nodes, "links": links}
    at_once = by_source(split(subject, **asked))
    monkeypatch.setattr("vesalius.tools._split_pass.LARGEST_PASS", 4000)
    monkeypatch.setattr("vesalius.tools._subject.LARGEST_LOGITS", 1)
    for source, values in by_source(split(subject, **asked)).items():
        assert values == pytest.approx(at_once[source], abs=1e-4)


def test_a_model_whose_mlp_is_built_otherwise_is_refused():
    model = writing_nothing()
    model.model.layers[1].mlp.more = torch.nn.Linear(24, 40)
    subject = Subject(model, word_tokenizer(), "odd", None, None)
    with pytest.raises(ToolError, match="plain checkpoint of a supported family"):
        split(subject)


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"nodes": ["resid_pre.1"]}, "Nodes: embed, head.LAYER.HEAD, mlp_out.LAYER"),
        ({"nodes": ["head.7.0"]}, r"Layers: 0\.\.2"),
        ({"links": ["mlp_out.2->q.1.0"]}, "a slot behind its node"),
        ({"target": "embed"}, "Targets: logits, a node behind the first"),
        ({"positions": ["middle"]}, "last, entity, differs"),
        ({"positions": ["each"]}, "equal length for `each`"),
        ({"positions": ["differs"], "against": "mean", "reference": COMMON}, "Use `last` or `entity`"),
        ({"against": "mean", "reference": COMMON}, "count from `zero`"),
        ({"against": "mean"}, "belong to `mean`, which needs them"),
        ({"reference": COMMON}, "belong to `mean`, which needs them"),
        ({"steps": 2, "links": ["all"]}, "over nodes one at a time"),
        ({"joint": True, "links": ["all"]}, "one at a time"),
        ({"smallest": float("inf")}, "finite number"),
        ({"pairs": [{**PAIRS[0], "corrupted": PAIRS[0]["base"]}]}, "change the answer"),
        ({"pairs": [{**PAIRS[0], "foil": "w4"}]}, "two different words"),
        ({"pairs": [{**PAIRS[0], "corrupted": "w1 w9"}]}, "Give prompts of equal length"),
    ],
)
def test_what_cannot_be_split_is_refused_with_the_mend(change, mend):
    tool = load_tools()["contextual_decomposition"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"pairs": PAIRS, **change}))
