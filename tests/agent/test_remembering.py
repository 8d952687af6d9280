"""What a run leaves says what tested it, in fields that another run's claims can be compared by."""

from types import SimpleNamespace
from typing import Any

import pytest
from vesalius.agent._evidence import Arm, Hypothesis, Judgement, Prediction
from vesalius.agent._samples import arm_key
from vesalius.agent.planners.interface import JudgedClaim, Proposal, SubjectCard, Task, View
from vesalius.agent.remembering import _where, trial_of

PATCH = {"sites": ["resid_post.1"], "positions": ["entity"], "value": "source", "direction": "noising", "pairs": []}
GROUP = {"supernode": "Texas", "features": ["2/5", "1/37"], "mode": "swap", "dictionary": "transcoders", "pairs": []}
WHERE = Task(kind="where", question="q", behaviour="  the Plural\n of nouns ")


def claimed(tool: str, args: dict[str, Any], direction: str = "positive", families=("swapped", "reworded")):
    kind = "mediation" if direction == "positive" else "absence"
    arms = [Arm(label=family, counterfactual_family=family, tool=tool, args=args) for family in families]
    prediction = Prediction.model_validate(
        {
            "id": "p1",
            "hypothesis": "h1",
            "kind": kind,
            "direction": direction,
            "arms": arms,
            "chance": 0.0,
            "holds_out_entities": True,
            "holds_out_template": True,
        }
    )
    hypothesis = Hypothesis(id="h1", statement="It holds.", kind=kind, alternatives=(), refuted_if="it does not")  # pyright: ignore
    judgement = Judgement.model_construct(verdict="supported", tier="causal", effect=0.5, low=None, high=None)
    return JudgedClaim(id="c1", proposal=Proposal(hypothesis=hypothesis, prediction=prediction), judgement=judgement)


def seen(claim: JudgedClaim, task: Task = WHERE, digest: str | None = None) -> View:
    """A view in which the second arm ran, and the first could not."""
    prediction = claim.proposal.prediction
    found = SimpleNamespace(result={} if digest is None else {"dictionary_digest": digest})
    results = {arm_key(prediction, prediction.arms[-1]): found}
    return View.model_construct(task=task, card=SubjectCard.model_construct(tasks=()), results=results)


def test_a_patch_is_told_by_site_position_and_what_was_written():
    claim = claimed("patch", PATCH)
    tested = trial_of(seen(claim), claim)
    assert tested is not None
    assert tested.model_dump(exclude_defaults=True) == {
        "behaviour": "the plural of nouns",
        "kind": "mediation",
        "predicts": "effect",
        "intervention": "patch (value source, direction noising)",
        "families": ("swapped", "reworded"),
        "site": "resid_post.1",
        "position": "entity",
    }


def test_a_group_is_told_by_its_features_in_order_and_the_dictionary_it_was_measured_in():
    claim = claimed("supernode_effect", GROUP, "none")
    tested = trial_of(seen(claim, digest="d" * 64), claim)
    assert tested is not None
    assert (tested.features, tested.supernode, tested.dictionary) == (("1/37", "2/5"), "Texas", "d" * 64)
    assert (tested.predicts, tested.kind, tested.intervention) == (
        "no effect",
        "absence",
        "supernode_effect (mode swap)",
    )
    assert trial_of(seen(claim), claim) is None, "features of a dictionary that nobody measured are nowhere"


def test_a_feature_is_compared_by_what_it_is_said_to_stand_for():
    claim = claimed("feature_contrast", {"feature": "1/37", "scale": 1.0, "pairs": []})
    asked = Task(kind="feature", question="What does feature 1/37 stand for?", feature="1/37")
    tested = trial_of(seen(claim, asked, "d"), claim)
    assert tested is not None
    assert (tested.features, tested.behaviour, tested.intervention) == (
        ("1/37",),
        "It holds.",
        "feature_contrast (scale 1.0)",
    )


def test_a_question_that_no_task_data_describe_is_its_prompt_and_answer():
    claim = claimed("patch", PATCH)
    tested = trial_of(seen(claim, Task(kind="why", question="q", prompt="two plus two is", answer="four")), claim)
    assert tested is not None
    assert tested.behaviour == "'four' after 'two plus two is'"


def test_an_instrument_that_names_one_site_is_told_too_and_by_all_that_it_was_given():
    args = {"site": "resid_post.2", "positions": ["last"], "dimension": 2, "pairs": [], "seed": 0}
    one, same, other = (
        trial_of(seen(claim), claim)
        for claim in (claimed("subspace_patch", args | more) for more in ({}, {"seed": 5}, {"dimension": 3}))
    )
    assert one is not None
    assert (one.site, one.intervention.split()[0]) == ("resid_post.2", "subspace_patch")
    assert same == one
    assert other != one
    assert _where(args) == "resid_post.2 at last"


@pytest.mark.parametrize("changes", [{"sites": ["resid_post.1", "resid_post.2"]}, {"positions": ["entity", "last"]}])
def test_a_claim_about_more_than_one_place_is_not_compared(changes):
    claim = claimed("patch", PATCH | changes)
    assert trial_of(seen(claim), claim) is None


def test_every_claim_of_a_run_says_what_tested_it(dallas, home):
    """On the reference model: sites by patches, groups by the features of its transcoders."""
    from vesalius.agent.asking import Where
    from vesalius.memory import Only

    opener = Where(home).opener()
    assert opener is not None
    with opener() as memory:
        kept = {record.text: record for record in memory.records("claims", Only(run=dallas.report.run))}
        at_the_state = list(memory.records("claims", Only(run=dallas.report.run, site="resid_post.1")))
    assert len(kept) == len(dallas.report.claims)
    for claim in dallas.report.claims:
        tested, args = kept[claim.hypothesis.statement].tested, claim.prediction.arms[0].args
        assert tested.behaviour == "task two_hop"
        assert (tested.site, tested.features) == (args.get("sites", [""])[0], tuple(sorted(args.get("features", ()))))
    assert {record.tested.position for record in at_the_state} == {"entity"}
