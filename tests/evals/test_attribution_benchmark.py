"""What the comparison with circuit-tracer makes of the two sides' answers."""

from dataclasses import replace

import pytest
import torch
from vesalius.evals.benchmarks import attribution
from vesalius.evals.benchmarks._attribution_cases import AttributionCase, Shape, write_case
from vesalius.evals.benchmarks._ours import Ours
from vesalius.evals.benchmarks._peer import PeerGraph, PeerPruning
from vesalius.tools import prune

# Two tokens, three layers of which the last is silent: two features, six errors, two tokens, one logit.
FEATURES, ERRORS, TOKENS, LOGIT = slice(0, 2), slice(2, 8), slice(8, 10), 10


def hand_made() -> PeerGraph:
    adjacency = torch.zeros(11, 11)
    adjacency[0, 8] = 2.0
    adjacency[1, 0], adjacency[1, 2] = 1.0, -1.0
    adjacency[LOGIT, 1], adjacency[LOGIT, 9], adjacency[LOGIT, 7] = 4.0, 1e-4, 1.0
    return PeerGraph(
        active_features=torch.tensor([[0, 1, 5], [1, 1, 7]]),
        activation_values=torch.ones(2),
        selected_features=torch.arange(2),
        logit_tokens=torch.tensor([3]),
        logit_probabilities=torch.tensor([0.5]),
        adjacency=adjacency,
    )


def test_a_difference_is_a_share_of_the_targets_largest_link():
    theirs, changed = hand_made(), hand_made().adjacency.clone()
    assert attribution.largest_difference(hand_made(), theirs) == 0
    changed[LOGIT, 9] += 0.04
    assert attribution.largest_difference(replace(theirs, adjacency=changed), theirs) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="differ in selected_features"):
        attribution.largest_difference(replace(theirs, selected_features=torch.tensor([1, 0])), theirs)


def test_nodes_are_what_they_are_though_no_feature_of_the_last_layer_is_active():
    links, weight, kinds = attribution.in_links(hand_made(), 3)
    for kind, where in ((kinds.error, ERRORS), (kinds.token, TOKENS), (kinds.logit, LOGIT)):
        due = torch.zeros(11, dtype=torch.bool)
        due[where] = True
        assert torch.equal(kind, due)
    assert weight.tolist() == [0] * 10 + [0.5]
    assert torch.equal(links.square(torch.arange(11)), hand_made().adjacency)


def test_what_one_side_prunes_and_the_other_keeps_is_counted():
    links, weight, kinds = attribution.in_links(hand_made(), 3)
    mine = prune(links, weight, kinds, 0.8, 0.98)
    edges = torch.zeros(11, 11, dtype=torch.bool)
    edges[mine.targets, mine.sources] = True
    same = PeerPruning(mine.nodes, edges, torch.zeros(11), 0.5, 0.5)
    found = attribution.pruning_differs(hand_made(), same, 3)
    assert (found.value, found.met) == (0, True)
    edges = edges.clone()
    edges[LOGIT, 1] = ~edges[LOGIT, 1]
    nodes = mine.nodes.clone()
    nodes[2] = ~nodes[2]
    found = attribution.pruning_differs(hand_made(), replace(same, node_mask=nodes, edge_mask=edges), 3)
    assert (found.value, found.met) == (2, False)


def test_a_ratio_is_of_medians_and_says_between_what_single_runs_lie():
    found = attribution._ratio([(10.0, 1.0), (12.0, 2.0), (50.0, 4.0)], 6.0)
    assert (found.value, found.least, found.most, found.n) == (6.0, 6.0, 12.5, 3)
    assert (found.met, found.low, found.high) == (True, None, None)
    assert attribution._ratio([(5.0, 1.0)], 6.0).met is False
    row = next(line for line in attribution.table({"ratio": found}).splitlines() if line.startswith("| ratio"))
    assert row == "| ratio | 6 | 6–12.5 | 3 | ≥ 6 | yes |"


def test_our_side_answers_with_a_graph_of_the_nodes_it_was_asked_for(tmp_path):
    case = AttributionCase("tiny", Shape("tiny", 2, 16, 2, 1, 32, 6, k=3), max_feature_nodes=7)
    files = write_case(case, tmp_path, 0)
    with Ours(case, files) as ours:
        graph = ours.graph()
        assert len(graph.selected_features) == 7
        assert len(graph.active_features) == case.shape.n_active == 30
        n_nodes = 7 + 2 * 6 + 6 + len(graph.logit_tokens)
        assert graph.adjacency.shape == (n_nodes, n_nodes)
        assert ours.run().cpu_s > 0
        assert ours.prune().cpu_s > 0
        assert ours.products() > 0


def test_a_folder_that_cannot_be_is_refused_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        attribution.main([str(tmp_path / "file")], lambda seed, progress: pytest.fail("measured"))
    assert "Name another one" in capsys.readouterr().err
    attribution.main([str(tmp_path / "new")], lambda seed, progress: {})
    assert attribution.COMMAND in (tmp_path / "new" / "attribution.md").read_text()
