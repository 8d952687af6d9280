"""A planner can waste time, but it cannot make a claim come true."""

import pytest
from finished_runs import DALLAS
from pydantic import ValidationError
from vesalius.agent._evidence import Arm, Hypothesis, Prediction
from vesalius.agent.asking import Where, start_run
from vesalius.agent.desk import Desk
from vesalius.agent.investigation import investigate
from vesalius.agent.ledger import Ledger, LedgerError
from vesalius.agent.planners._pairs import pool_from_task
from vesalius.agent.planners.interface import Experiment, Proposal, Words
from vesalius.agent.planners.protocol import ProtocolPlanner
from vesalius.agent.report.schema import Sentence, read_report


class Liar(ProtocolPlanner):
    """Claims whatever it is told to, about places it is told to."""

    name = "liar"

    def __init__(self, site: str, position: str, explores: Experiment | None = None, confirms_on: str = "confirmation"):
        super().__init__(0)
        self.site, self.position, self.explores, self.confirms_on = site, position, explores, confirms_on

    def next_experiment(self, view):
        if self.explores and self.explores.key not in view.results:
            return self.explores
        return None

    def propose(self, view):
        arms = [
            Arm(
                label=family,
                counterfactual_family=family,
                tool="patch",
                args={"pairs": list(pairs), "sites": [self.site], "positions": [self.position], "random_draws": 20},
            )
            for family, pairs in self.families(view).items()
        ]
        twins = [arm.model_copy(update={"label": f"twin, {arm.label}"}) for arm in arms]
        hypothesis = Hypothesis(id="h1", statement="I know it.", kind="mediation", alternatives=(), refuted_if="never")
        prediction = Prediction(
            id="p1",
            hypothesis="h1",
            direction="positive",
            expected=1.0,
            arms=tuple(arms),
            twin_arms=tuple(twins),
            chance=0.1,
            holds_out_entities=True,
            holds_out_template=True,
        )
        return (Proposal(hypothesis=hypothesis, prediction=prediction),)

    def families(self, view):
        family = next(f for f in view.card.tasks if f.name == "two_hop")
        split = getattr(pool_from_task(view.card.tasks, family, family.templates[0], 0), self.confirms_on)
        return {"swap": split.swap, "other": split.other}

    def closing(self, view):
        return ()

    def word(self, view, claims):
        return Words(
            premise_holds=True,
            premise=Sentence(text="Trust me."),
            answer=(Sentence(text="It is proven."),),
            claims={claim.id: Sentence(text="I know it.") for claim in claims},
        )


def report_of(liar, atlas, tmp_path):
    folder = start_run(Where(tmp_path, use_memory=False), atlas, DALLAS, seed=0, device="cpu")
    with Ledger(folder.ledger) as ledger:
        list(investigate(Desk(atlas, liar, folder, ledger, None, 0), DALLAS))
    return read_report(folder.path / "report.json")


@pytest.mark.parametrize(
    ("site", "position"), [("resid_post.3", "entity"), ("mlp_out.1", "last"), ("head.0.1", "last")]
)
def test_claiming_a_place_that_does_nothing_is_not_supported(site, position, atlas, tmp_path):
    (claim,) = report_of(Liar(site, position), atlas, tmp_path).claims
    assert claim.judgement.verdict != "supported"


def test_the_same_liar_is_believed_where_the_evidence_is(atlas, tmp_path):
    (claim,) = report_of(Liar("resid_post.1", "entity"), atlas, tmp_path).claims
    assert claim.judgement.verdict == "supported"


def test_what_was_explored_cannot_confirm(atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    split = pool_from_task(atlas.tasks, family, family.templates[0], 0).confirmation
    args = {"pairs": list(split.swap), "sites": ["resid_post.1"], "positions": ["entity"], "random_draws": 20}
    peek = Experiment(key="peek", tool="patch", args=args, why="to know the outcome beforehand")
    with pytest.raises(LedgerError, match="not sealed before it is measured"):
        report_of(Liar("resid_post.1", "entity", explores=peek), atlas, tmp_path)


def test_a_figure_that_nothing_measured_cannot_be_said():
    with pytest.raises(ValidationError, match="bound to no measurement"):
        Sentence(text="It moves 97 percent of the answers.")


def test_entities_that_exploration_saw_are_not_held_out_whatever_the_planner_says(atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    split = pool_from_task(atlas.tasks, family, family.templates[0], 0).confirmation
    args = {"pairs": list(split.swap), "sites": ["resid_pre.0"], "positions": ["last"]}
    peek = Experiment(key="peek", tool="patch", args=args, why="to see these very prompts")
    (claim,) = report_of(Liar("resid_post.1", "entity", explores=peek), atlas, tmp_path).claims
    assert not claim.prediction.holds_out_entities
    assert not claim.prediction.holds_out_template
    assert claim.judgement.tier == "controlled"


def test_a_tool_that_does_not_exist_is_told_to_the_planner_and_reported(atlas, tmp_path):
    class Confused(Liar):
        def next_experiment(self, view):
            return None if view.failed else Experiment(key="x", tool="divination", args={}, why="to see")

    report = report_of(Confused("resid_post.1", "entity"), atlas, tmp_path)
    assert any("divination" in step.tool and step.measurement is None for step in report.tried)
