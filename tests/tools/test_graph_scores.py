"""Scores of a graph file: worked by hand, the same as the engine's own, and as published."""

import json

import pytest
from conftest import make_subject
from graph_results import NODES, node, result_of
from vesalius.tools import ToolError
from vesalius.tools._graph_export import export_graph, plain_graph
from vesalius.tools._graph_reading import graph_from_json, read_text
from vesalius.tools._graph_scores import graph_scores, most_influential
from vesalius.tools._graph_types import PlainGraph
from vesalius.tools.attribution_graph import AttributionGraphArgs, attribution_graph


def small(*links: tuple[str, str, float], errors: tuple[str, ...] = ("error.0@1",)) -> PlainGraph:
    """A graph of one token, one logit, and features and errors at the places that their ids say."""
    names = {name for link in links for name in link[:2] if "/" in name}
    features = [
        node("feature", name, int(name[0]), int(name[-1]), feature=int(name.split("/")[1][0])) for name in sorted(names)
    ]
    kept = [node("error", name, int(name.split(".")[1][0]), int(name[-1])) for name in errors]
    ends = [NODES[6], NODES[-2].model_copy(update={"id": "logit.1@4", "token_id": 1})]
    return plain_graph(result_of((*features, *kept, *ends), {(s, t): w for s, t, w in links}))


BRANCH = (("token@1", "0/5@1", 2.0), ("0/5@1", "logit.1@4", 3.0), ("error.0@1", "logit.1@4", -1.0))


def test_scores_of_a_graph_worked_by_hand():
    # Shares of the logit: .75 from the feature, .25 from the error. Influence: feature .75, token .75, error .25, each
    # times .7. Nodes' inputs from no error: .75 of the logit's, all of the others'.
    whole = graph_scores(small(*BRANCH))
    assert (whole.replacement, whole.completeness) == pytest.approx((0.75, 2.5 / 2.75))
    assert (whole.n_features, whole.n_orphans) == (1, 0)


def test_scores_do_not_hang_on_the_unit_of_a_targets_links():
    tiny = tuple((source, target, weight * 1e-6) for source, target, weight in BRANCH)
    assert graph_scores(small(*tiny)).completeness == pytest.approx(graph_scores(small(*BRANCH)).completeness)


def test_a_feature_that_is_not_pinned_counts_as_error_with_its_sign():
    # The feature's 3 and the error's -1 make an error of 2: nothing is explained but the error itself.
    none = graph_scores(small(*BRANCH), pinned=())
    assert (none.replacement, none.completeness, none.n_features) == (0.0, pytest.approx(0.5), 0)


def test_pinning_every_feature_changes_nothing():
    graph = plain_graph(result_of())
    features = [n.id for n in graph.nodes if n.kind == "feature"]
    assert graph_scores(graph, features) == graph_scores(graph)


def test_a_feature_with_no_error_at_its_place_is_dropped_or_stands_for_one():
    graph = small(*BRANCH, ("token@1", "1/5@1", 1.0), ("1/5@1", "logit.1@4", 4.0))
    dropped = graph_scores(graph, pinned=("0/5@1",))
    assert dropped.n_orphans == 1
    assert (dropped.replacement, dropped.completeness) == pytest.approx((0.75, 2.5 / 2.75))
    # As an error: of the logit's 8, 3 from the pinned feature.
    assert graph_scores(graph, pinned=("0/5@1",), orphans="errors").replacement == pytest.approx(3 / 8)


def test_two_orphans_of_one_place_are_one_error():
    links = (*BRANCH, ("1/5@1", "logit.1@4", 4.0), ("1/6@1", "logit.1@4", -3.0), ("token@1", "1/6@1", 1.0))
    scores = graph_scores(small(*links), pinned=("0/5@1",), orphans="errors")
    assert scores.replacement == pytest.approx(3 / (3 + 1 + 1))


def test_an_id_that_no_node_has_cannot_be_pinned():
    with pytest.raises(ToolError, match="Pin ids of this graph, such as `0/5@1`"):
        graph_scores(small(*BRANCH), pinned=("7/7@7",))


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_the_scores_of_an_unpruned_export_are_those_that_the_engine_found(family):
    args = AttributionGraphArgs(prompt="w3 w11 w7", dictionary="neurons", node_threshold=1, edge_threshold=1)
    subject = make_subject(family)
    result = attribution_graph(subject, args)
    file = export_graph(result, "m", subject.key.fingerprint)
    scores = graph_scores(graph_from_json(json.dumps(file)))
    found = (result.replacement_score, result.completeness_score)
    assert (scores.replacement, scores.completeness) == pytest.approx(found, abs=1e-4)


PUBLISHED = {  # cumulative influence of the selection, its size, then replacement and completeness
    "dallas": (0.579, 54, (0.725, 0.904), (0.252, 0.626), (0.588, 0.843)),
    "oakland": (0.588, 58, (0.704, 0.896), (0.231, 0.616), (0.568, 0.835)),
}


@pytest.mark.external
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_scores_come_out_to_three_decimals(external, name):
    threshold, n_selected, whole, none, selected = PUBLISHED[name]
    graph = graph_from_json(read_text(external / "graphs" / name / "graph.json"))
    chosen = most_influential(graph, threshold)
    assert len(chosen) == n_selected
    for pinned, published in ((None, whole), ((), none), (chosen, selected)):
        scores = graph_scores(graph, pinned)
        assert (round(scores.replacement, 3), round(scores.completeness, 3)) == published


@pytest.mark.external
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_selection_is_the_published_one(external, name):
    graph = graph_from_json(read_text(external / "graphs" / name / "graph.json"))
    chosen = {*most_influential(graph, PUBLISHED[name][0])}
    found = {(n.layer, n.feature) for n in graph.nodes if n.id in chosen}
    listed = json.loads((external / "graphs" / name / "selected_features.json").read_text())["features"]
    assert found == {(f["layer"], f["index"]) for f in listed}
