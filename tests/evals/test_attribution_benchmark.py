"""What the comparison with circuit-tracer makes of the two sides' answers."""

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from vesalius.evals.benchmarks import _attribution_gpu, attribution
from vesalius.evals.benchmarks._attribution_cases import AttributionCase, Shape, write_case
from vesalius.evals.benchmarks._ours import Ours
from vesalius.evals.benchmarks._peer import PeerGraph, PeerPruning, Where
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
        assert ours.certified().cpu_s > 0
        assert 0 <= ours.held()["found"] <= ours.held()["bound"] < 1e-3
        assert ours.held()["recomputed"] == 0


def test_a_certificate_that_says_less_than_what_was_found_is_a_failure():
    class Side(Ours):
        def __init__(self):
            pass

        def held(self):
            return {"found": 2e-5, "bound": 1e-5, "recomputed": 3.0}

    found = attribution._held(Side(), hand_made())
    assert (found["certified_bound_held"].value, found["certified_bound_held"].met) == (0, False)
    assert (found["certified_bound"].value, found["certified_recomputed"].value) == (1e-5, 3)


def test_without_a_card_the_table_says_that_its_case_was_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(attribution, "has_gpu", lambda: False)
    told = []
    found = attribution._on_gpu(tmp_path, tmp_path, 0, lambda done, total, what: told.append(what))
    assert found["gpu_present"].value == 0
    assert "is left out" in told[0]
    assert "graphics card was left out: no CUDA device" in attribution.table(found)
    assert "left out" not in attribution.table({"gpu_present": attribution._plain(1.0, 1)})


def test_with_a_card_each_element_type_has_a_ratio_and_single_precision_a_difference(tmp_path, monkeypatch):
    monkeypatch.setattr(attribution, "has_gpu", lambda: True)
    made = [
        _attribution_gpu.OnGpu("float32", 64, [(8.0, 2.0), (9.0, 2.0), (10.0, 2.0)], (hand_made(), hand_made())),
        _attribution_gpu.OnGpu("bfloat16", 256, [(6.0, 2.0)], None),
    ]
    monkeypatch.setattr(attribution, "on_gpu", lambda *_: iter(made))
    found = attribution._on_gpu(tmp_path, tmp_path, 0, lambda *_: None)
    ratios = {name: one.value for name, one in found.items() if name.startswith("wall_ratio")}
    assert ratios == {"wall_ratio_gpu_float32": 4.5, "wall_ratio_gpu_bfloat16": 3}
    assert found["edge_rel_diff_gpu_float32"].met
    assert "edge_rel_diff_gpu_bfloat16" not in found


def test_the_case_for_a_card_has_the_sizes_of_gemma_2_2b():
    shape = _attribution_gpu.SHAPE
    config = LlamaConfig(
        hidden_size=shape.d_model,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.d_head,
        intermediate_size=shape.d_mlp,
        vocab_size=1000,
    )
    with torch.device("meta"):
        layers = LlamaForCausalLM(config).model.layers
    # Gemma-2-2B: 2.6 billion, of which 256,000 words of 2,304 numbers are 590 million.
    assert sum(weight.numel() for weight in layers.parameters()) == pytest.approx(2.614e9 - 256_000 * 2304, rel=1e-3)


@pytest.mark.slow
def test_our_side_works_in_the_element_type_that_it_is_told(tmp_path):
    shape = Shape("narrow", 2, 16, 2, 1, 32, 6, k=3, d_head=4, d_mlp=24)
    case = AttributionCase("narrow", shape)
    files = write_case(case, tmp_path, 0)
    graphs = {}
    for dtype in ("float32", "bfloat16"):
        with Ours(case, files, where=Where("cpu", dtype)) as ours:
            graphs[dtype] = ours.graph()
            assert ours.run().wall_s > 0
    for graph in graphs.values():
        assert len(graph.active_features) == shape.n_active
    values = [graph.activation_values for graph in graphs.values()]
    assert torch.equal(values[1], values[1].bfloat16().float())
    assert not torch.equal(values[0], values[0].bfloat16().float())


def test_a_folder_that_cannot_be_is_refused_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        attribution.main([str(tmp_path / "file")], lambda seed, progress: pytest.fail("measured"))
    assert "Name another one" in capsys.readouterr().err
    attribution.main([str(tmp_path / "new")], lambda seed, progress: {})
    assert attribution.COMMAND in (tmp_path / "new" / "attribution.md").read_text()
