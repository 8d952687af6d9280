"""Circuits found: a hand-made one whole, its backup among it, what circuits keep, and MIB's form."""

import json

import pytest
import torch
from circuit_models import BACKUP_LINKS, BACKUP_PAIR, FAMILIES, REFUSED, backup_subject, linear_subject
from conftest import make_subject
from vesalius.tools import ToolError
from vesalius.tools._circuit_curve import area, counts, faithfulness, mean_jaccard, resampled, strongest
from vesalius.tools._circuit_families import Family
from vesalius.tools._circuit_graph import CircuitGraph
from vesalius.tools._circuit_greedy import greedy
from vesalius.tools._circuit_lesions import without
from vesalius.tools._circuit_methods import Method
from vesalius.tools._circuit_mib import mib_circuit, read_mib_circuit
from vesalius.tools._circuit_runs import CircuitRuns
from vesalius.tools._circuit_scores import Asking
from vesalius.tools.circuit_search import CircuitSearchArgs, circuit_search

BACKUP = [{"name": "last", "pairs": [BACKUP_PAIR, {**BACKUP_PAIR, "base": "w3 w2", "corrupted": "w3 w9"}]}]


def args(families=BACKUP, **more) -> CircuitSearchArgs:
    return CircuitSearchArgs.model_validate({"families": families, "random_draws": 4, **more})


def found(result) -> set[tuple[str, str]]:
    return {(one.source, one.slot) for one in result.links if one.in_circuit}


def test_a_backup_is_found_once_what_it_stands_in_for_is_taken_out():
    result = circuit_search(backup_subject(), args())
    assert found(result) == BACKUP_LINKS
    assert (result.n_circuit, result.contexts[0].without, result.contexts[0].n_new) == (5, (), 2)
    showed = {(one.source, one.slot): one.without for one in result.links if one.in_circuit}
    assert showed["embed", "mlp_in.1"] == showed["mlp_out.1", "logits"] == ("mlp_out.0",)
    assert showed["embed", "mlp_in.0"] == ("mlp_out.1",)
    assert showed["mlp_out.0", "mlp_in.1"] == ()
    assert result.faithfulness == pytest.approx((1,), abs=1e-5)
    assert result.complement == pytest.approx((0,), abs=1e-5)
    assert result.jaccard == 1


@pytest.mark.parametrize("change", [{"backups": False}, {"method": "greedy"}])
def test_without_taking_anything_out_the_backup_stays_hidden_and_the_complement_says_so(change):
    result = circuit_search(backup_subject(), args(**change))
    assert found(result) < BACKUP_LINKS
    if change.get("method") == "greedy":
        assert result.faithfulness == pytest.approx((1,), abs=0.05)
        assert result.complement == pytest.approx((1,), abs=0.05)  # the other side answers as well


@pytest.mark.parametrize("method", ["eap", "eap_ig", "relp"])
def test_in_a_linear_model_scores_are_measured_effects_and_the_curve_ends_at_the_model(method):
    asked = args(FAMILIES, method=method, check=3, slots=False, resamples=0, backups=False, top=262)
    result = circuit_search(linear_subject(), asked)
    made = Asking.of(linear_subject(), [Family.model_validate(family) for family in FAMILIES])
    exact = torch.stack([one.mean for one in made.exact([[link] for link in made.graph.links])])
    due = exact.gather(0, exact.abs().argmax(0)[None])[0]
    assert torch.allclose(torch.tensor(result.scores), due, atol=1e-4)
    assert (result.curve[0].faithfulness, result.curve[-1].faithfulness) == pytest.approx((0, 1), abs=1e-5)
    assert result.n_circuit == sum(abs(score) >= 0.05 for score in result.scores)
    assert result.jaccard is None


def test_what_slots_find_is_measured_even_where_gradients_say_nothing():
    """From the other side: on the base no neuron is on, and no gradient goes through one that is off."""
    turned = {**BACKUP_PAIR, "base": BACKUP_PAIR["corrupted"], "corrupted": BACKUP_PAIR["base"]}
    families = [{"name": "turned", "pairs": [turned]}]
    blind, seeing = (
        circuit_search(backup_subject(), args(families, method="eap", check=0, slots=slots, resamples=0, backups=False))
        for slots in (False, True)
    )
    assert ("embed", "mlp_in.0") in found(seeing)
    assert ("embed", "mlp_in.0") not in found(blind)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_without_some_nodes_is_the_model_with_zeros_written_in_their_place(family):
    subject = make_subject(family)
    tokens = subject.tokenise(["w1 w2 w3", "w4 w5 w6"])
    lesioned = without(subject, {"mlp_out.0", "head.1.2"})
    due = subject.run(tokens, write={"mlp_out.0": torch.zeros_like, "head.1.2": torch.zeros_like}).logits
    assert torch.allclose(lesioned.run(tokens).logits, due, atol=1e-5)
    assert not torch.allclose(subject.run(tokens).logits, due, atol=1e-2)


def test_cutting_greedily_in_batches_is_cutting_one_by_one():
    runs = [CircuitRuns(make_subject("llama"), Family.model_validate(FAMILIES[0]).pairs[:1])]
    threshold, graph = 0.1, runs[0].graph
    kept = set(graph.links)

    def share(links: set) -> float:
        return runs[0].answers([links]).mean().item() / runs[0].gap

    now = share(kept)
    for slot in reversed(graph.slots):
        read = slot == "logits" or any(source in graph.nodes_of(slot) for source, _ in kept)
        for node in reversed(graph.read_by(slot)):
            fewer = kept - {(node, slot)}
            then = share(fewer) if read else now
            if abs(now - then) < threshold:
                kept, now = fewer, then
    chosen, scores = greedy(runs, threshold)
    assert {link for link, here in zip(graph.links, chosen.tolist(), strict=True) if here} == kept
    assert 0 < len(kept) < len(graph.links)
    assert (scores[chosen].abs() >= threshold).all()


def test_all_links_are_the_model_and_none_the_counterfactual(subject):
    runs = [CircuitRuns(subject, Family.model_validate(FAMILIES[0]).pairs)]
    n_links = len(runs[0].graph.links)
    kept = strongest(torch.arange(n_links).float(), (0, n_links))
    assert torch.allclose(faithfulness(runs, kept)[:, 0], torch.tensor([0.0, 1.0]), atol=1e-5)


def test_the_grid_has_every_small_size_and_ends_at_all_links():
    sizes = counts(262)
    assert sizes[:17] == tuple(range(17))
    assert sizes[-1] == 262
    assert list(sizes) == sorted(set(sizes))
    assert counts(3) == (0, 1, 2, 3)


def test_areas_are_those_of_the_shapes_under_the_curve():
    assert area((0, 5, 10), torch.tensor([0.0, 0.5, 1.0])) == pytest.approx(0.5)
    assert area((0, 1, 4), torch.tensor([0.0, 1.0, 1.0])) == pytest.approx(1 / 8 + 3 / 4)


def test_resamples_of_pairs_that_agree_agree_and_a_link_of_one_cluster_comes_and_goes():
    shares = torch.tensor([[1.0, 0.4], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    sets = resampled([[shares]], [["a", "b", "c", "d"]], threshold=0.1, draws=400, seed=0)
    assert sets[:, 0].all()
    seen = sets[:, 1].float().mean().item()
    assert seen == pytest.approx(1 - (3 / 4) ** 4, abs=0.08)  # that it was drawn at least once
    assert mean_jaccard(sets) == pytest.approx(1 - seen * (1 - seen), abs=0.01)
    two = resampled([[shares]], [["a", "a", "b", "b"]], threshold=0.1, draws=400, seed=0)
    assert two[:, 1].float().mean().item() == pytest.approx(3 / 4, abs=0.08)


def test_equal_sets_overlap_wholly_and_disjoint_ones_not_at_all():
    assert mean_jaccard(torch.tensor([[True, False], [True, False]])) == 1
    assert mean_jaccard(torch.tensor([[True, False], [False, True]])) == 0
    assert mean_jaccard(torch.zeros(2, 3, dtype=torch.bool)) == 1


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_a_circuit_survives_the_form_of_mib(family):
    graph = CircuitGraph(make_subject(family).shape)
    scores = {link: (-1) ** i * (i + 1) / 7 for i, link in enumerate(graph.links)}
    circuit = graph.links[3::11]
    written = mib_circuit(graph, scores, circuit)
    read = read_mib_circuit(graph, json.dumps(written))
    assert read.scores == scores
    assert read.circuit == set(circuit)
    assert list(written["nodes"])[:2] == ["input", "a0.h0"]
    assert set(written["nodes"]["m0"]) == {"in_graph"}
    assert set(written["edges"]["input->a0.h0<q>"]) == {"score", "in_graph"}


def test_a_file_of_mib_with_some_edges_alone_says_nothing_of_the_others():
    graph = CircuitGraph(make_subject("gpt2").shape)
    cfg = {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 24}
    text = json.dumps({"cfg": cfg, "nodes": {}, "edges": {"m0->a1.h2<k>": {"score": -0.5, "in_graph": True}}})
    read = read_mib_circuit(graph, text)
    assert (read.scores, read.circuit) == ({("mlp_out.0", "k.1.2"): -0.5}, {("mlp_out.0", "k.1.2")})


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"cfg": {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 24}}, "This one is"),
        ({"edges": {"m0->m9": {"score": 1, "in_graph": True}}}, "Write it as NODE->SLOT"),
        ({"edges": {"m0->m1": {"score": 1}}}, "`edges` with `in_graph`"),
        ({"cfg": {}}, "It has `cfg`"),
    ],
)
def test_a_file_that_is_no_circuit_of_this_model_is_refused_with_the_mend(change, mend):
    graph = CircuitGraph(make_subject("gpt2").shape)
    with pytest.raises(ToolError, match=mend):
        read_mib_circuit(graph, json.dumps({**mib_circuit(graph, {}, []), **change}))


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("{", "It has `cfg`"),
        ("[" * 100_000, "It has `cfg`"),
        ('{"cfg": ' + "9" * 5000 + "}", "It has `cfg`"),
        ('{"cfg": CFG, "edges": {"m0->a1.h%s<q>": {"in_graph": true}}}' % ("9" * 5000), "Write it as NODE->SLOT"),
        ('{"cfg": CFG, "edges": {"input->logits": {"in_graph": true, "score": NaN}}}', "score.*finite number"),
        ('{"cfg": CFG, "edges": {"input->logits": {"in_graph": true, "score": 1e999}}}', "score.*finite number"),
    ],
)
def test_a_hostile_file_is_refused_like_any_other(text, mend):
    graph = CircuitGraph(make_subject("gpt2").shape)
    cfg = {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 24}
    with pytest.raises(ToolError, match=mend):
        read_mib_circuit(graph, text.replace("CFG", json.dumps(cfg)))


@pytest.mark.parametrize(("change", "mend"), [({"threshold": float("inf")}, "finite"), ({"seed": 2**64}, "less than")])
def test_numbers_beyond_all_measure_are_refused_before_anything_runs(change, mend):
    with pytest.raises(ToolError, match=mend):
        circuit_search.parse({"families": FAMILIES, **change})


def test_the_search_says_which_contexts_it_left_out():
    result = circuit_search(backup_subject(), args(most_contexts=1, resamples=0))
    assert (len(result.contexts), result.n_contexts_left) == (1, 2)


def test_one_pair_cannot_be_resampled():
    with pytest.raises(ToolError, match="set `resamples` to 0"):
        circuit_search(make_subject("gpt2"), args(FAMILIES))
    with pytest.raises(ToolError, match="give 0, or 100 and more"):
        circuit_search.parse({"families": BACKUP, "resamples": 1})


@pytest.mark.parametrize(("change", "mend"), REFUSED)
def test_what_cannot_be_searched_is_refused_with_the_mend(change, mend):
    with pytest.raises(ToolError, match=mend):
        circuit_search(make_subject("gpt2"), args([{"name": "one", **change}], resamples=0))


def test_gradients_alone_rank_what_nothing_was_measured_of():
    asked = args(FAMILIES, method="eap", check=0, slots=False, resamples=0, backups=False, top=1)
    result = circuit_search(make_subject("gpt2"), asked)
    made = Asking.of(make_subject("gpt2"), [Family.model_validate(family) for family in FAMILIES])
    by_family = torch.stack([one.mean for one in made.links(Method())])
    assert torch.allclose(torch.tensor(result.scores).abs(), by_family.abs().max(0).values, atol=1e-5)
