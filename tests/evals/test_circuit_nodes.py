"""Nodes of organisms whose circuit is known: what is true of them, what is left out, and what each method says."""

from dataclasses import replace

import pytest
from vesalius.evals.benchmarks import _circuit_nodes
from vesalius.evals.benchmarks._circuit_nodes import (
    CUT,
    ESTIMATES,
    OF_NODES,
    SWEEP,
    heads_and_mlps,
    node_trial,
    strongest_link,
)
from vesalius.evals.benchmarks._organism_runs import families_of, run_on
from vesalius.evals.organisms.compiled import named
from vesalius.tools import CircuitGraph, ToolError, one_thread


@pytest.fixture(autouse=True)
def small_models_on_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def previous_token():
    with one_thread():
        return named("previous_token", 0)


def test_every_method_finds_the_one_head_that_was_compiled(previous_token):
    (true,) = previous_token.nodes - {"embed"}
    found = node_trial(previous_token, {"named": ({("embed", f"v.{true[5:]}"): 1.0, (true, "logits"): -1.0}, 0.25)})
    assert (found.n_nodes, found.n_true) == (len(heads_and_mlps(previous_token)), 1)
    assert found.verdicts.keys() == {*OF_NODES, "named"}
    for method, said in found.verdicts.items():
        assert (said.auroc, said.precision, said.recall, said.false) == (1.0, 1.0, 1.0, 0), method
    assert found.verdicts["named"].cpu_s == 0.25
    for method, said in found.verdicts.items():
        assert (said.pearson is not None) == (method in ESTIMATES), method
    assert found.verdicts["attribution_patch"].pearson == pytest.approx(1.0, abs=0.01)


def test_a_method_that_says_nothing_or_the_same_of_all_has_an_area_of_one_half(previous_token):
    nodes = heads_and_mlps(previous_token)
    alike = {(node, "logits"): 0.3 for node in nodes}
    found = node_trial(previous_token, {"silent": ({}, 0.0), "alike": (alike, 0.0)}).verdicts
    assert found["silent"].auroc == found["alike"].auroc == 0.5
    assert (found["silent"].recall, found["silent"].false) == (0.0, 0)
    assert (found["alike"].recall, found["alike"].false) == (1.0, len(nodes) - 1)
    assert found["silent"].precision == pytest.approx(1 / len(nodes))


def test_an_estimate_that_refuses_has_no_verdict_and_says_why(previous_token, monkeypatch):
    def refuses(_):
        raise ToolError("It cannot be split.", mend="Load in float64.")

    monkeypatch.setattr(_circuit_nodes, "OF_NODES", {CUT: OF_NODES[CUT], "contextual_decomposition": refuses})
    found = node_trial(previous_token, {"silent": ({}, 0.0)})
    assert found.verdicts.keys() == {CUT, "silent"}
    assert found.refused == {"contextual_decomposition": "It cannot be split. Load in float64."}
    monkeypatch.setattr(_circuit_nodes, "OF_NODES", {CUT: refuses})
    with pytest.raises(ToolError, match="Load in float64"):
        node_trial(previous_token, {})


def test_a_node_has_the_score_of_its_strongest_link_with_its_sign():
    links = {("embed", "logits"): 9.0, ("head.0.0", "q.1.0"): 0.2, ("head.0.0", "logits"): -0.5, ("x", "logits"): 1.0}
    assert strongest_link(links, ["head.0.0", "mlp_out.0"]) == {"head.0.0": -0.5, "mlp_out.0": 0.0}


def test_the_embedding_is_in_every_circuit_and_is_not_scored(previous_token):
    nodes = heads_and_mlps(previous_token)
    assert nodes == CircuitGraph(previous_token.subject.shape).nodes[1:]
    assert "embed" in previous_token.nodes
    assert "embed" not in nodes
    assert all("embed" not in scores for scores in OF_NODES[CUT](previous_token).values())


@pytest.mark.parametrize("all_true", [True, False])
def test_where_all_nodes_are_true_or_none_nothing_is_run_and_nothing_is_said(previous_token, monkeypatch, all_true):
    monkeypatch.setattr(_circuit_nodes, "OF_NODES", {"never": lambda _: pytest.fail("it ran")})
    nodes = heads_and_mlps(previous_token) if all_true else ()
    links = frozenset({("embed", "logits"), *((node, "logits") for node in nodes)})
    found = node_trial(replace(previous_token, links=links), {"named": ({}, 0.0)})
    assert (found.n_true, dict(found.verdicts)) == (len(nodes), {})


def test_cutting_a_node_is_exchanging_all_its_links_and_not_what_one_token_does():
    organism = named("count", 0)
    graph = CircuitGraph(organism.subject.shape)
    cut, swept = OF_NODES[CUT](organism), OF_NODES[SWEEP](organism)
    (family, *_) = families_of(organism)
    for node in ("head.0.0", *sorted(organism.nodes - {"embed"})):
        links = ["->".join(link) for link in graph.links if link[0] == node]
        due = run_on(organism, "path_patch", {"pairs": family["pairs"], "links": links, "joint": True})
        assert cut[family["name"]][node] == pytest.approx(due["cells"][0]["effect"], abs=1e-4), node
    # What the last block writes is read at the last token alone.
    assert swept[family["name"]]["mlp_out.3"] == pytest.approx(cut[family["name"]]["mlp_out.3"], abs=1e-4)
    assert set(swept[family["name"]]) == set(heads_and_mlps(organism))


def test_a_node_that_another_repairs_is_seen_by_no_exact_patch_of_it_alone():
    organism = named("self_repair", 0)
    (backup,) = organism.nodes - {"embed", "head.0.2"}
    for method in (CUT, SWEEP):
        assert max(abs(scores[backup]) for scores in OF_NODES[method](organism).values()) < 0.01, method


def test_decomposition_with_patterns_held_gives_nothing_to_a_node_that_decides_where_to_look():
    organism = named("induction", 0)
    live, held = (OF_NODES[name](organism) for name in list(ESTIMATES)[1:])
    looks = next(node for node, slot in organism.links if slot.startswith("k.") and node != "embed")
    assert max(abs(scores[looks]) for scores in live.values()) > 0.5
    assert max(abs(scores[looks]) for scores in held.values()) < 0.05
