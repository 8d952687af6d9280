"""A planner can waste time, but it chooses neither what could contradict a claim nor the verdict."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from finished_runs import DALLAS
from pydantic import ValidationError
from vesalius.agent._evidence import SMALLEST_EFFECT, Arm, Hypothesis, Prediction
from vesalius.agent.asking import Where, start_run
from vesalius.agent.desk import Desk
from vesalius.agent.investigation import investigate
from vesalius.agent.ledger import Ledger
from vesalius.agent.planners._pairs import pool_from_task
from vesalius.agent.planners.interface import Experiment, Proposal, Words
from vesalius.agent.planners.protocol import ProtocolPlanner
from vesalius.agent.rejudging import rejudged
from vesalius.agent.report.schema import Sentence, read_report


class Liar(ProtocolPlanner):
    """Claims whatever it is told to, about places it is told to."""

    name = "liar"

    def __init__(self, site: str, position: str, explores: Experiment | None = None, confirms_on: str = "confirmation"):
        super().__init__(0)
        self.site, self.position, self.explores, self.confirms_on = site, position, explores, confirms_on
        self.promises: dict[str, Any] = {"chance": 0.1, "direction": "positive"}
        self.args: dict[str, Any] = {}

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
                args={"pairs": list(pairs), "sites": [self.site], "positions": [self.position], **self.args},
            )
            for family, pairs in self.families(view).items()
        ]
        hypothesis = Hypothesis(id="h1", statement="I know it.", kind="mediation", alternatives=(), refuted_if="never")
        prediction = Prediction(
            id="p1",
            hypothesis="h1",
            arms=tuple(arms),
            **self.promises,
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


class Seen:
    """As much of a view as it takes to make pairs."""

    def __init__(self, subject):
        self.card = SimpleNamespace(tasks=subject.tasks)


def report_of(liar, atlas, tmp_path):
    folder = start_run(Where(tmp_path, use_memory=False), atlas, DALLAS, seed=0, device="cpu")
    with Ledger(folder.ledger) as ledger:
        list(investigate(Desk(atlas, liar, folder, ledger, None, 0), DALLAS))
    return read_report(folder.path / "report.json")


def refusal(report, why: str) -> bool:
    """Whether nothing was claimed, and the report says why."""
    return not report.claims and any("Proposed and refused" in s.text and why in s.text for s in report.not_found)


@pytest.mark.parametrize(
    ("site", "position"), [("resid_post.2", "entity"), ("mlp_out.1", "last"), ("head.0.1", "last")]
)
def test_claiming_a_place_that_does_nothing_is_not_supported(site, position, atlas, tmp_path):
    (claim,) = report_of(Liar(site, position), atlas, tmp_path).claims
    assert claim.judgement.verdict != "supported"


def test_the_same_liar_is_believed_where_the_evidence_is(atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    discovery = pool_from_task(atlas.tasks, family, family.templates[0], 0).discovery
    args = {"pairs": list(discovery.swap), "sites": ["resid_post.1"], "positions": ["entity"]}
    look = Experiment(key="look", tool="patch", args=args, why="to see it first")
    (claim,) = report_of(Liar("resid_post.1", "entity", explores=look), atlas, tmp_path).claims
    assert claim.judgement.verdict == "supported"
    assert claim.prediction.expected == pytest.approx(1, abs=0.1)


def test_what_was_explored_cannot_confirm(atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    split = pool_from_task(atlas.tasks, family, family.templates[0], 0).confirmation
    args = {"pairs": list(split.swap), "sites": ["resid_post.1"], "positions": ["entity"], "random_draws": 20}
    peek = Experiment(key="peek", tool="patch", args=args, why="to know the outcome beforehand")
    report = report_of(Liar("resid_post.1", "entity", explores=peek), atlas, tmp_path)
    assert refusal(report, "measured already")


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


def gate_among(report) -> str:
    """What the first claim's permutation gate says of how many units there are."""
    return next(gate.reason for gate in report.claims[0].judgement.gates if gate.name == "permutation")


class Looker(Liar):
    """Looks at places as often as it likes, first and last."""

    def __init__(self, site: str, first=(), last=()):
        super().__init__(site, "entity")
        self.first, self.last = first, last

    def next_experiment(self, view):
        return next((look for look in self.first if look.key not in view.results), None)

    def closing(self, view):
        return self.last


def looks(atlas, site: str, n: int, split: str = "discovery") -> tuple[Experiment, ...]:
    """One place, each time on other prompts."""
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    pool = pool_from_task(atlas.tasks, family, family.templates[0], 0)
    pairs = getattr(pool, split).swap
    found = []
    for i in range(n):
        args = {"pairs": list(pairs[i::n]), "sites": [site], "positions": ["entity"]}
        found.append(Experiment(key=f"{site} {split} {i}", tool="patch", args=args, why="to see it"))
    return tuple(found)


def test_a_place_that_was_looked_at_often_counts_once_where_new_prompts_confirm_it(atlas, tmp_path):
    often = looks(atlas, "blocks.1.hook_resid_post", 3)
    report = report_of(Looker("resid_post.1", (*often, *looks(atlas, "head.0.1", 2))), atlas, tmp_path)
    assert report.claims[0].prediction.expected is not None, "it was seen, however its name was written"
    assert report.coverage.units_looked_at == 3
    assert "among 3 units" in gate_among(report)
    assert rejudged(report, {r.measurement.id: r.measurement for r in report.measurements}) == {
        claim.id: claim.judgement for claim in report.claims
    }


def test_the_best_of_many_looks_confirmed_on_its_own_prompts_counts_among_them_all(atlas, tmp_path):
    often = looks(atlas, "resid_post.1", 3, split="confirmation")
    report = report_of(Looker("resid_post.1", often), atlas, tmp_path)
    assert report.coverage.units_looked_at == 4
    assert "among 4 units" in gate_among(report)


def test_sealing_what_cannot_be_measured_hides_no_look_at_it(atlas, tmp_path):
    liar = Looker("mlp_out.1", looks(atlas, "mlp_out.1", 2))
    swap = liar.families(Seen(atlas))["swap"]
    liar.families = lambda view: {"swap": [{**pair, "base_entity": "nowhere"} for pair in swap]}
    report = report_of(liar, atlas, tmp_path)
    assert not report.claims
    assert report.coverage.units_looked_at == 2


def test_what_is_measured_last_lowers_no_q(atlas, tmp_path):
    last = looks(atlas, "resid_post.0", 5)
    report = report_of(Looker("resid_post.1", looks(atlas, "resid_post.1", 1), last), atlas, tmp_path)
    assert {r.phase for r in report.measurements} >= {"explore", "black_box"}
    assert report.coverage.units_looked_at == 1
    assert "among 1 units" in gate_among(report)


def test_a_control_that_was_explored_sets_no_lower_bar_for_what_it_controls(atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    pool = pool_from_task(atlas.tasks, family, family.templates[0], 0)
    liar = Liar("resid_post.1", "entity")
    liar.args = {"value": "class_mean", "reference": list(pool.reference)}
    liar.families = lambda view: {"swap": pool.confirmation.swap}
    args = {"pairs": list(pool.discovery.swap), "sites": ["resid_post.1"], "positions": ["entity"], **liar.args}
    args["shuffle_labels"] = True
    liar.explores = Experiment(key="shuffled", tool="patch", args=args, why="to expect little")
    (claim,) = report_of(liar, atlas, tmp_path).claims
    assert claim.prediction.expected is None
    assert claim.judgement.verdict != "supported"


def test_a_tool_that_does_not_exist_is_told_to_the_planner_and_reported(atlas, tmp_path):
    class Confused(Liar):
        def next_experiment(self, view):
            return None if view.failed else Experiment(key="x", tool="divination", args={}, why="to see")

    report = report_of(Confused("resid_post.1", "entity"), atlas, tmp_path)
    assert any("divination" in step.tool and step.measurement is None for step in report.tried)


def test_the_controls_are_those_of_code_whatever_the_planner_leaves_out(atlas, tmp_path):
    liar = Liar("resid_post.1", "entity")
    liar.promises |= {"smallest_effect": 0.9, "expected": 0.001, "chance": 0.0}
    liar.args = {"random_draws": 0}
    (claim,) = report_of(liar, atlas, tmp_path).claims
    sealed = claim.prediction
    assert [arm.args for arm in sealed.twin_arms] == [arm.args | {"random_draws": 0} for arm in sealed.arms]
    assert all(arm.args["random_draws"] == 20 for arm in sealed.arms)
    assert (sealed.smallest_effect, sealed.expected) == (SMALLEST_EFFECT, None)
    assert sealed.chance > 0
    assert claim.judgement.tier == "controlled"  # nothing was explored, so nothing is replicated


def test_class_means_are_tried_with_shuffled_labels_whatever_the_claim_is_called(atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    pool = pool_from_task(atlas.tasks, family, family.templates[0], 0)
    liar = Liar("resid_post.1", "entity")
    liar.args = {"value": "class_mean", "reference": list(pool.reference)}
    liar.families = lambda view: {"swap": pool.confirmation.swap}
    (claim,) = report_of(liar, atlas, tmp_path).claims
    assert claim.prediction.shuffled_arm.args["shuffle_labels"]
    assert "shuffled_labels" in {gate.name for gate in claim.judgement.gates}


@pytest.mark.parametrize("entity", ["", "named"])
def test_class_means_of_the_very_pairs_they_are_tried_on_are_refused(entity, atlas, tmp_path):
    liar = Liar("resid_post.1", "entity")
    swap = liar.families(Seen(atlas))["swap"]
    sides = (("base", "base_entity", "base_label"), ("corrupted", "source_entity", "source_label"))
    reference = [
        {"prompt": pair[prompt], "entity": pair[name] if entity else "", "label": pair[label]}
        for pair in swap
        for prompt, name, label in sides
    ]
    if entity:
        reference = [entry | {"prompt": f"the {entry['prompt']}"} for entry in reference]
    liar.args = {"value": "class_mean", "reference": reference * 2}
    liar.families = lambda view: {"swap": swap}
    assert refusal(report_of(liar, atlas, tmp_path), "class means are of the pairs' own")


@pytest.mark.parametrize(
    ("site", "position", "changes", "why"),
    [
        ("resid_post.3", "last", {}, "the answer itself"),
        ("blocks.3.hook_resid_post", "last", {}, "the answer itself"),
        ("resid_pre.0", "entity", {}, "that prompt itself"),
        ("resid_post.1", "entity", {"sites": ["head.0.1", "resid_post.1"]}, "more than one place"),
        ("", "last", {"sites": ["resid_mid.3", "mlp_out.3"], "joint": True}, "more than one place"),
        ("resid_post.1", "entity", {"value": "zero"}, "a control's values"),
        ("resid_post.9", "entity", {}, "out of range"),
        ("resid_post.1", "entity", {"without": ["mlp_out.1"]}, "a claim is about another part"),
        ("mlp_out.1", "entity", {"without": ["resid_pre.1"]}, "cannot be taken out"),
        ("resid_post.1", "entity", {"positions": []}, "cannot run"),
    ],
)
def test_a_place_that_means_nothing_is_refused_and_the_report_says_so(site, position, changes, why, atlas, tmp_path):
    liar = Liar(site, position)
    liar.args = changes
    assert refusal(report_of(liar, atlas, tmp_path), why)


@pytest.mark.parametrize("position", ["last", "differs", "entity", "-1"])
def test_a_patch_of_all_that_differs_is_the_other_prompt_and_no_finding(position, atlas, tmp_path):
    family = next(f for f in atlas.tasks if f.name == "city_state")
    rows = [row.slots for row in family.rows if row.split == "train"]
    pairs = [
        {
            "base": f"the state containing {one['city']}",
            "corrupted": f"the state containing {other['city']}",
            "answer": one["state"],
            "foil": other["state"],
            "base_entity": one["city"],
            "source_entity": other["city"],
        }
        for one, other in pairwise(rows)
        if one["state"] != other["state"]
    ]
    liar = Liar("resid_post.1", position)
    liar.families = lambda view: {"swap": pairs[:20]}
    assert refusal(report_of(liar, atlas, tmp_path), "nothing that differs is left outside")


def test_one_family_under_two_names_is_refused(atlas, tmp_path):
    liar = Liar("resid_post.1", "entity")
    swap = liar.families(Seen(atlas))["swap"]
    liar.families = lambda view: {
        "one": swap,
        "two": [{**pair, "base": pair["base"].replace(" ", "  ")} for pair in swap],
    }
    assert refusal(report_of(liar, atlas, tmp_path), "so they are one")


def test_a_pair_that_puts_a_value_in_its_own_place_is_refused(atlas, tmp_path):
    liar = Liar("resid_post.1", "entity")
    swap = liar.families(Seen(atlas))["swap"]
    liar.families = lambda view: {"idle": [{**pair, "source": pair["base"] + " "} for pair in swap]}
    liar.promises |= {"direction": "none"}
    assert refusal(report_of(liar, atlas, tmp_path), "the same value")


def test_that_nothing_happens_is_no_claim_where_the_values_were_never_seen_to_do_anything(atlas, tmp_path):
    liar = Liar("mlp_out.2", "entity")
    liar.promises |= {"direction": "none"}
    assert refusal(report_of(liar, atlas, tmp_path), "nowhere did the values")


def test_two_predictions_of_one_name_are_not_confused(atlas, tmp_path):
    class Twice(Liar):
        def propose(self, view):
            self.site = "resid_post.1"
            (one,) = super().propose(view)
            self.site = "head.0.1"
            (other,) = super().propose(view)
            return (one, other)

    report = report_of(Twice("", "entity"), atlas, tmp_path)
    assert [claim.prediction.arms[0].args["sites"] for claim in report.claims] == [["resid_post.1"]]
    assert any("already" in sentence.text for sentence in report.not_found)


def test_one_prompt_under_many_names_is_one_cluster(atlas, tmp_path):
    liar = Liar("resid_post.1", "entity")
    first = liar.families(Seen(atlas))["swap"][0]
    liar.families = lambda view: {"swap": [{**first, "cluster": f"entity {i}"} for i in range(30)]}
    (claim,) = report_of(liar, atlas, tmp_path).claims
    assert claim.judgement.n_clusters == 1
    assert claim.judgement.verdict == "inconclusive"


def test_words_in_which_prompts_differ_are_entities_where_none_are_named(atlas, tmp_path):
    liar = Liar("resid_post.1", "differs")
    pairs = [{k: v for k, v in p.items() if "entity" not in k} for p in liar.families(Seen(atlas))["swap"]]
    explored = [{**p, "base": f"the {p['base']}", "corrupted": f"the {p['corrupted']}"} for p in pairs]
    args = {"pairs": explored, "sites": ["head.0.1"], "positions": ["last"]}
    liar.explores = Experiment(key="peek", tool="patch", args=args, why="the same cities")
    liar.families = lambda view: {"swap": pairs}
    (claim,) = report_of(liar, atlas, tmp_path).claims
    assert not claim.prediction.holds_out_entities
    assert claim.prediction.holds_out_template


def test_words_stronger_than_the_evidence_are_left_out(atlas, tmp_path):
    report = report_of(Liar("mlp_out.1", "last"), atlas, tmp_path)
    said = " ".join(sentence.text for sentence in report.answer)
    assert "It is proven" not in said
    assert "does not bear the words `proven`" in said


@pytest.mark.parametrize(
    ("tool", "held_out"), [("circuit_search", False), ("logit_lens", False), ("steer", False), ("next_token", True)]
)
def test_prompts_that_any_instrument_looked_into_are_not_held_out_and_those_only_asked_are(
    tool, held_out, atlas, tmp_path
):
    family = next(f for f in atlas.tasks if f.name == "two_hop")
    split = pool_from_task(atlas.tasks, family, family.templates[0], 0).confirmation
    asked = [{name: pair[name] for name in ("base", "corrupted", "answer", "foil")} for pair in split.swap]
    same = [p for p in asked if len(p["base"].split()) == len(p["corrupted"].split())][:3]
    prompts = [pair["base"] for pair in same]
    args = {
        "circuit_search": {
            "families": [{"name": "peek", "pairs": same}],
            **{"method": "eap", "check": 0, "backups": False, "resamples": 0, "slots": False, "random_draws": 1},
        },
        "logit_lens": {"prompts": prompts},
        "steer": {"positive": prompts, "negative": [pair["corrupted"] for pair in same], "site": "resid_post.1"}
        | {"prompts": ["the capital of Texas is"], "answer": "Austin", "foil": "Boston", "n_neutral": 1},
        "next_token": {"prompts": prompts},
    }[tool]
    peek = Experiment(key="peek", tool=tool, args=args, why="to see these very prompts")
    report = report_of(Looker("resid_post.1", (*looks(atlas, "resid_post.1", 1), peek)), atlas, tmp_path)
    assert tool in {record.measurement.tool for record in report.measurements if record.phase == "explore"}
    (claim,) = report.claims
    assert claim.judgement.verdict == "supported"
    assert (claim.prediction.holds_out_entities, claim.prediction.holds_out_template) == (held_out, held_out)
    assert claim.judgement.tier == ("replicated" if held_out else "controlled")
