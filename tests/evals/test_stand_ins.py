"""Parts that stand in for others, in models that repair themselves: found, claimed, and not said to be absent."""

from pathlib import Path

import pytest
from vesalius.evals.benchmarks._trust_believed import backup_absent
from vesalius.evals.benchmarks._trust_nulls import known
from vesalius.evals.benchmarks._trust_planner import Belief, Believer
from vesalius.evals.benchmarks._trust_planted import find, planted
from vesalius.evals.benchmarks._trust_runs import investigate
from vesalius.evals.organisms.compiled import compiled_circuit
from vesalius.tools import one_thread
from vesalius.tools.patch import PatchArgs, patch


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.slow
def test_the_head_that_answers_and_every_backup_are_claimed_and_nothing_else(turn):
    """By one way to change the answer the head shows in the whole model, by the other nothing does."""
    name = ("self_repair", "self_repair_shared")[turn % 2]
    question = next(q for q in planted(0, 0, 0, 4) if q.name == f"{name}-{turn}")
    with one_thread():
        found = find(question)
    assert found.is_whole, (found.named, found.nodes, found.trial.false_claims)
    with_something_out = [one for one in found.trial.said if one.prediction.arms[0].args["without"]]
    backups = found.nodes - {min(found.nodes)}
    assert backups <= {one.place[0] for one in with_something_out if one.supported}


def test_what_a_part_does_behind_another_is_known_by_hooks_as_by_a_copy_without_it():
    one = compiled_circuit("self_repair_shared", 1)
    first, backup = (one.layout.places[name].node for name in ("primary", "backup0"))
    truth = known(one, "value")
    pairs = [pair.model_dump() for pair in one.organism.families["value"]]
    with one_thread():
        args = PatchArgs.model_validate({"pairs": pairs, "sites": [backup], "without": [first]})
        assert truth.effect(backup, "last") == pytest.approx(0, abs=0.01)
        assert truth.effect(backup, "last", (first,)) == pytest.approx(0.5, abs=0.02)
        assert patch(one.organism.subject, args).cells[0].effect == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("seed", [3])
@pytest.mark.slow
def test_that_a_backup_plays_no_part_is_not_sealed_and_that_an_idle_head_does_is_supported(seed, tmp_path: Path):
    question, belief = backup_absent(seed, tmp_path)
    shape, backups = question.subject.shape, {site for site, _ in belief.places}
    nodes = compiled_circuit(("self_repair", "self_repair_shared")[seed % 2], seed).organism.nodes
    heads = (f"head.{layer}.{head}" for layer in range(shape.n_layers) for head in range(shape.n_heads))
    idle = [(head, "last") for head in heads if head not in nodes][:2]
    with one_thread():
        found = investigate(question, Believer(Belief(places=(*belief.places, *idle), kind="absence")))
    assert found.refused == len(backups)
    assert [(one.place, one.supported) for one in found.said] == [(place, True) for place in idle]
