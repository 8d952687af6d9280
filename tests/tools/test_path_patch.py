"""Single links: known answers, two other roads to each number, groups, and errors with their mend."""

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools._circuit_graph import CircuitGraph
from vesalius.tools._circuit_runs import CircuitRuns
from vesalius.tools._pair_answers import Pair
from vesalius.tools._part_runs import PartModel
from vesalius.tools._path_runs import PathRuns
from vesalius.tools.patch import PatchArgs, patch
from vesalius.tools.path_patch import PathPatchArgs, path_patch

PAIRS = [
    {"base": "w1 w2 w3", "corrupted": "w1 w9 w3", "answer": "w4", "foil": "w5"},
    {"base": "w6 w7 w8 w9", "corrupted": "w6 w7 w8 w11", "answer": "w11", "foil": "w12"},
]


def paths(subject, *links: str, **more):
    return path_patch(subject, PathPatchArgs.model_validate({"pairs": PAIRS, "links": links, "spot_checks": 1, **more}))


def test_links_are_what_the_model_itself_does(subject):
    result = paths(subject, spot_checks=4, direction="denoising")
    assert len(result.cells) == len(CircuitGraph(subject.shape).links)
    assert result.spot_checked == 4
    assert result.spot_difference * abs(result.gap) < 1e-4
    assert result.no_op_change < 1e-4
    assert result.patched == 1


def test_every_link_alone_is_the_circuit_of_all_others(subject):
    runs = CircuitRuns(subject, [Pair(**pair) for pair in PAIRS])
    n_links = len(runs.graph.links)
    due = runs.answers_of(torch.ones(n_links, n_links).fill_diagonal_(0))
    found = PathRuns(runs.models[0]).answers(runs.graph.links)
    assert torch.allclose(found, due, atol=1e-4, rtol=1e-4)
    assert ((found - runs.clean).abs() > 1e-3).float().mean() > 0.5


def test_restoring_one_link_is_the_counterfactuals_circuit_of_all_others():
    subject, pairs = make_subject("gemma2"), [Pair(**pair) for pair in PAIRS]
    runs = CircuitRuns(subject, pairs, "denoising")
    links = runs.graph.links[::5]
    due = runs.answers([set(runs.graph.links) - {link} for link in links])
    found = PathRuns(PartModel(subject, pairs, "denoising")).answers(links)
    assert torch.allclose(found, due, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, runs.corrupted.expand_as(found), atol=1e-3)


def test_a_silent_models_answer_goes_over_one_link():
    """Heads and MLPs write nothing: only what the embedding hands to the logits matters."""
    subject = Subject(writing_nothing("o_proj", "down_proj"), word_tokenizer(), "silent", None, None)
    pairs = [{"base": "w1 w2", "corrupted": "w1 w4", "answer": "w6", "foil": "w7"}]
    effects = {cell.links: cell.effect for cell in paths(subject, pairs=pairs).cells}
    assert effects.pop(("embed->logits",)) == pytest.approx(1, abs=1e-5)
    assert max(map(abs, effects.values())) < 1e-5


def test_all_links_out_of_a_node_together_are_patching_the_node(subject):
    """Where only the last token differs, a node differs there alone."""
    links = [f"mlp_out.1->{slot}" for node, slot in CircuitGraph(subject.shape).links if node == "mlp_out.1"]
    pairs = [{**PAIRS[0], "corrupted": "w1 w2 w4"}]
    (cell,) = paths(subject, *links, joint=True, pairs=pairs).cells
    asked = {"pairs": pairs, "sites": ["mlp_out.1"], "positions": ["last"]}
    (due,) = patch(subject, PatchArgs.model_validate(asked)).cells
    assert cell.effect == pytest.approx(due.effect, abs=1e-4)
    assert cell.links == tuple(links)


def test_a_circuit_of_every_link_keeps_everything_and_of_one_less_what_the_link_leaves():
    subject = make_subject("llama")
    links = [f"{node}->{slot}" for node, slot in CircuitGraph(subject.shape).links]
    whole = paths(subject, *links, others=True)
    assert whole.cells[0].effect == pytest.approx(0, abs=1e-4)
    assert whole.patched == 0
    (kept,) = paths(subject, *links[1:], others=True).cells
    (alone,) = paths(subject, links[0]).cells
    assert kept.effect == pytest.approx(alone.effect, abs=1e-4)
    assert paths(subject, *links, joint=True).cells[0].effect == pytest.approx(1, abs=1e-4)


def test_links_can_be_written_as_mib_writes_them():
    result = paths(make_subject("llama"), "input->a1.h3<k>", "m0->logits", "m0 -> logits")
    assert [cell.links for cell in result.cells] == [("embed->k.1.1",), ("mlp_out.0->logits",)]


def test_links_in_many_passes_are_those_of_one(monkeypatch):
    subject = make_subject("gpt_neox")
    at_once = paths(subject)
    monkeypatch.setattr("vesalius.tools._path_runs.LARGEST_ROWS", 4000)
    monkeypatch.setattr("vesalius.tools._circuit_runs.LARGEST_RUNS", 1)
    in_parts = paths(subject)
    assert [c.effects for c in in_parts.cells] == [pytest.approx(c.effects, abs=1e-4) for c in at_once.cells]


def test_links_are_checked_in_as_many_passes_as_logits_ask_for(monkeypatch):
    subject = make_subject("llama")
    at_once = paths(subject, spot_checks=20)
    monkeypatch.setattr("vesalius.tools._subject.LARGEST_LOGITS", 1)
    in_parts = paths(subject, spot_checks=20)
    assert in_parts.spot_difference == pytest.approx(at_once.spot_difference, abs=1e-4)
    assert in_parts.spot_checked == 20


def test_links_that_are_not_the_models_own_are_refused(monkeypatch):
    right = PathRuns.answers
    monkeypatch.setattr(PathRuns, "answers", lambda *asked: right(*asked) + 0.01)
    with pytest.raises(ToolError, match="Load the model in float32"):
        paths(make_subject("gpt2"), "embed->logits")


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"links": ["mlp_out.2->q.0.1"]}, "NODE->SLOT, a slot behind its node"),
        ({"links": ["embed->logits"], "joint": True, "others": True}, "ask for one of the two"),
        ({"others": True}, "needs `links` to keep"),
        ({"pairs": [{**PAIRS[0], "corrupted": "w1 w2"}]}, "counterfactuals of the same length"),
        ({"pairs": [{**PAIRS[0], "corrupted": PAIRS[0]["base"]}]}, "change the answer"),
        ({"pairs": [{**PAIRS[0], "source": "w1 w1 w1"}], "direction": "denoising"}, "Leave `source` empty"),
    ],
)
def test_what_cannot_be_patched_is_refused_with_the_mend(change, mend):
    tool = load_tools()["path_patch"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"pairs": PAIRS, **change}))
