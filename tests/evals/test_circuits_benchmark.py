"""The comparison of methods that find circuits: what it makes of methods that are right, and of those that are not."""

from dataclasses import replace

import pytest
from vesalius.evals.benchmarks import circuits
from vesalius.evals.benchmarks._circuit_metrics import Verdict
from vesalius.evals.benchmarks._circuit_nodes import NodeTrial
from vesalius.evals.benchmarks._circuit_trials import MAIN_FAST, METHODS, SEARCH, Trial, trial
from vesalius.evals.benchmarks._illusions import illusions
from vesalius.evals.benchmarks.circuits import NODE_METHODS, Measured, main, median, summary, table
from vesalius.evals.metric import Metric
from vesalius.evals.organisms.compiled import named
from vesalius.tools import one_thread, silent


@pytest.fixture(autouse=True)
def small_models_on_one_thread():
    with one_thread():
        yield


def made(name: str, auroc: float, recall: float = 1.0, false: int = 0, node_auroc: float | None = 0.5) -> Trial:
    on_nodes = {} if node_auroc is None else {method: Verdict(node_auroc, 0.4, 0.5, 2, 0.1) for method in NODE_METHODS}
    verdicts = {method: Verdict(auroc, 1.0, recall, false, 0.1, 0.9) for method in METHODS}
    searched = {"cmd": 0.01, "cpr": 1.0, "jaccard": 0.9, "complement": (0.0, -0.2)}
    return Trial(name, "compiled", 100, 4, verdicts, NodeTrial(15, 3, on_nodes), searched)


def test_exact_methods_find_the_circuit_that_was_compiled():
    organism = named("previous_token", 0)
    found = trial(organism, 0)
    assert found.n_true == len(organism.links)
    for method in ("path_patch", SEARCH):
        verdict = found.verdicts[method]
        assert (verdict.auroc, verdict.recall, verdict.false) == (1.0, 1.0, 0), method
    assert found.verdicts["eap_ig"].pearson == pytest.approx(1.0, abs=0.05)
    assert found.verdicts[MAIN_FAST].pearson == pytest.approx(1.0, abs=1e-3)
    assert max(found.searched["complement"]) == pytest.approx(0.0, abs=1e-3)
    assert found.nodes.verdicts.keys() == set(NODE_METHODS)
    assert found.nodes.verdicts[SEARCH].auroc == 1.0
    assert found.nodes.verdicts[SEARCH].cpu_s == found.verdicts[SEARCH].cpu_s


def test_a_method_that_is_wrong_on_one_organism_shows_in_the_worst_and_not_in_the_median():
    trials = [made("a", 1.0), made("b", 1.0), made("self_repair", 0.6, recall=0.5, false=3)]
    figures = summary(trials, 0)
    assert (figures["edge_auroc_median"].value, figures["edge_auroc_median"].met) == (1.0, True)
    assert figures["edge_auroc_worst"].value == 0.6
    assert figures["edge_auroc_worst"].met is False
    assert (figures["selfrepair_recall"].value, figures["selfrepair_recall"].n) == (0.5, 4)
    assert (figures["false_edges_at_5pct"].value, figures["false_edges_at_5pct"].most) == (1.0, 3)
    assert figures["complement_faithfulness_worst"].value == 0.2


def test_the_figure_of_fast_scores_is_that_of_one_method_and_beside_its_time():
    slow = replace(made("a", 1.0).verdicts[MAIN_FAST], pearson=0.5, cpu_s=3.0)
    trials = [
        replace(one, verdicts={**one.verdicts, MAIN_FAST: slow}) for one in (made("a", 1.0), made("self_repair", 1.0))
    ]
    figures = summary(trials, 0)
    assert (figures["fast_score_pearson_median"].value, figures["fast_score_pearson_median"].met) == (0.5, False)
    assert figures[f"{MAIN_FAST}.cpu_s"].value == 3.0
    assert figures["eap.pearson_median"].value == 0.9


def test_nodes_are_counted_only_where_some_are_true_and_others_are_not():
    trials = [made("a", 1.0, node_auroc=0.75), made("b", 1.0, node_auroc=None), made("self_repair", 1.0)]
    figures = summary(trials, 0)
    assert (figures["nodes.organisms"].value, figures["nodes.organisms"].n) == (2.0, 3)
    for method in NODE_METHODS:
        found = figures[f"nodes.{method}.auroc_median"]
        assert (found.value, found.n, found.least, found.most) == (0.625, 2, 0.5, 0.75)
        assert figures[f"nodes.{method}.recall_at_5pct"].value == 0.5
        assert figures[f"nodes.{method}.false_at_5pct"].value == 2.0
    assert figures["edge_auroc_median"].n == 3


def test_organisms_without_any_node_to_tell_apart_give_no_figure_of_nodes():
    figures = summary([made("self_repair", 1.0, node_auroc=None)], 0)
    assert figures["nodes.organisms"].value == 0.0
    assert not any(name.startswith("nodes.") and "auroc" in name for name in figures)


def test_the_interval_of_a_median_holds_it_and_repeats_from_its_seed():
    values = [0.1, 0.4, 0.5, 0.9, 0.95]
    first, again = median(values, 3), median(values, 3)
    assert first == again
    assert first.low is not None
    assert first.high is not None
    assert first.low <= first.value == 0.5 <= first.high


def test_values_without_spread_have_an_interval_without_width():
    one = median([1.0, 1.0], 0)
    assert (one.low, one.high) == (1.0, 1.0)


def test_illusory_directions_are_told_from_true_ones(monkeypatch):
    monkeypatch.setattr("vesalius.evals.benchmarks._illusions.N_MODELS", 2)
    found = illusions(0, silent)
    assert (found["illusion_flagged"].value, found["illusion_false_alarms"].value) == (1.0, 0.0)


def test_the_table_names_every_figure_and_every_organism(tmp_path, capsys):
    trials = (made("a", 1.0, node_auroc=None), made("self_repair", 0.75, node_auroc=0.625))
    without = {method: one for method, one in trials[1].nodes.verdicts.items() if method != NODE_METHODS[0]}
    refusing = replace(trials[1], nodes=NodeTrial(15, 3, without, {NODE_METHODS[0]: "It cannot be split."}))
    trials = (trials[0], refusing)
    measured = Measured(trials, summary(trials, 0))
    main([str(tmp_path)], lambda seed, progress: measured)
    text = (tmp_path / "circuits.md").read_text()
    assert text == table(measured)
    assert all(f"| {name} |" in text for name in measured.figures)
    assert "| self_repair | compiled | 100 | 4 | 0.750 |" in text
    assert "| 1.00 | 0 | 0.9000 |" in text
    assert "| self_repair | compiled | 15 | 3 |  | 0.625 |" in text
    assert f"- self_repair, {NODE_METHODS[0]}: It cannot be split." in text
    assert f"| nodes.{NODE_METHODS[0]}." not in text
    assert "| a | compiled | 15 | 3 |  |" in text
    assert "| edge_auroc_worst | 0.75 |" in text


def test_every_figure_that_is_promised_is_measured(monkeypatch, tmp_path):
    """The heavy parts are measured by tests of their own."""
    monkeypatch.setenv("VESALIUS_HOME", str(tmp_path))
    organisms = [named("previous_token", 1), named("self_repair", 1)]
    monkeypatch.setattr(circuits, "_organisms", lambda *_: iter(organisms))
    monkeypatch.setattr(circuits, "trial", lambda organism, *_: made(organism.name, 1.0))
    for part in ("illusions", "heads_by_positions"):
        monkeypatch.setattr(circuits, part, lambda *_: {})
    found = circuits.measure(0, silent)
    promised = "edge_auroc_median edge_auroc_worst fast_score_pearson_median selfrepair_recall false_edges_at_5pct"
    assert set(promised.split()) <= found.keys()
    assert all(isinstance(one, Metric) for one in found.values())
