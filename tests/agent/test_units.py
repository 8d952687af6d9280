"""Every unit that was looked at counts once: by its confirmation where it has one, else by its exploration."""

from typing import Any

import pytest
from vesalius.agent._evidence import Arm, Prediction
from vesalius.agent._samples import arm_key, judge_all, units_looked_at
from vesalius.tools import Measurement, SubjectKey, canonical, digest, measurement_id

SUBJECT = SubjectKey(model="atlas", fingerprint="f")
PLACE: dict[str, Any] = {"sites": ["resid_post.1"], "positions": ["last"], "value": "source", "direction": "noising"}
GROUP: dict[str, Any] = {"features": ["2/133", "3/77"], "mode": "ablate", "dictionary": "transcoders"}
NEW = ("new 1", "new 2", "new 3", "new 4", "new 5", "new 6", "new 7", "new 8")
STRONG, NONE = 0.5, -0.5


def pairs_on(
    prompts: tuple[str, ...], wording: str = "the capital of {}", cluster: bool = True
) -> list[dict[str, str]]:
    return [
        {"base": wording.format(one), "corrupted": f"not {wording.format(one)}", "cluster": one if cluster else ""}
        for one in prompts
    ]


def look(name: str, effect: float = NONE, twin: int | None = None, tool: str = "patch", **args: Any) -> Measurement:
    """An exploration at one place on the prompts of this name, or on those given."""
    asked = {"pairs": pairs_on(tuple(f"{name} {i}" for i in range(8))), **(PLACE if tool == "patch" else GROUP), **args}
    effects = [effect] * len(asked["pairs"])
    cell = {"effects": effects, "effect": effect, "site": "supernode x", "position": "where active"}
    if tool == "patch":
        cell |= {"site": "+".join(asked["sites"]), "position": asked["positions"][0]}
    subject = SUBJECT.model_copy(update={"reinit_seed": twin})
    same = [False] * len(effects)
    cell |= {"answers_moved": same, "random_effects": [0.0] * 20}
    result = {"cells": [cell], "gap": 4.0, "no_op_change": 0.0, "clean_correct": [True] * len(effects)}
    return Measurement(
        id=measurement_id(tool, asked, subject),
        tool=tool,
        subject=subject,
        args=asked,
        result=result,
        digest=digest(result),
        seconds=0.0,
    )


def arm(family: str = "one", tool: str = "patch", on: tuple[str, ...] = NEW, **args: Any) -> Arm:
    """An arm at that place on prompts that nothing was seen on."""
    asked = {"pairs": pairs_on(on), **(PLACE if tool == "patch" else GROUP), "random_draws": 20, **args}
    return Arm(label=family, counterfactual_family=family, tool=tool, args=asked)


def predicted(name: str, *arms: Arm) -> Prediction:
    promised: dict[str, Any] = {"direction": "positive", "chance": 0.1}
    held_out = {"holds_out_entities": True, "holds_out_template": True}
    return Prediction(id=name, hypothesis="h", arms=arms, **promised, **held_out)


def measured(prediction: Prediction, effect: float, *families: str) -> dict[str, Measurement]:
    """Arms as measured, those of some families alone."""
    return {
        arm_key(prediction, one): look("", effect, tool=one.tool, **one.args)
        for one in prediction.arms
        if one.label in families
    }


def n_units(explored: list[Measurement], *confirmed: Arm) -> int:
    return len(units_looked_at(explored, confirmed))


def test_what_was_abandoned_counts_and_what_is_confirmed_on_other_prompts_counts_there_alone():
    places = [look("seen", sites=[f"resid_post.{layer}"]) for layer in range(4)]
    assert n_units(places) == 4
    assert n_units(places, arm()) == 3


def test_a_unit_that_was_looked_at_again_and_again_counts_once_when_it_is_confirmed():
    looks = [look(f"seen {i}") for i in range(9)]
    assert n_units(looks) == 9, "not confirmed, every look of it counts"
    assert n_units(looks, arm()) == 0


def test_the_q_of_a_confirmation_is_among_each_other_unit_once():
    one, other = predicted("p1", arm()), predicted("p2", arm("two", sites=["mlp_out.2"]))
    arms = measured(one, STRONG, "one") | measured(other, NONE, "two")
    looks = [look("seen a"), look("seen b"), look("seen", sites=["head.0.1"]), look("seen", sites=["mlp_out.2"])]
    judged = judge_all([one, other], arms, {}, looks, seed=0)
    assert judged["p1"].p == 1 / 2**8
    assert judged["p1"].q == pytest.approx(3 / 2**8), "itself, the other prediction, and the head that was abandoned"
    assert judge_all([one], arms, {}, looks, seed=0)["p1"].q == pytest.approx(3 / 2**8)


@pytest.mark.parametrize(
    "other",
    [
        {"sites": ["resid_post.2"]},
        {"positions": ["entity"]},
        {"value": "class_mean"},
        {"direction": "denoising"},
        {"shuffle_labels": True},
        {"twin": 1},
        {"an argument that nobody thought of": 1},
    ],
    ids=canonical,
)
def test_a_look_at_anything_else_is_not_stood_in_for(other):
    assert n_units([look("seen", **other)], arm()) == 1


@pytest.mark.parametrize("same", [{"random_draws": 3}, {"seed": 5}, {"joint": True}, {"reference": [{"prompt": "x"}]}])
def test_controls_and_prompts_make_no_other_unit(same):
    assert n_units([look("seen", **same)], arm()) == 0


@pytest.mark.parametrize(
    ("features", "left"),
    [
        (["3/77", "2/133"], 0),
        (["02/133", "3/077"], 0),
        (["2/133"], 1),
        (["2/133", "3/77", "3/78"], 1),
        (["21/33", "3/77"], 1),
    ],
)
def test_a_group_is_its_features_in_whatever_order_and_however_written(features, left):
    looked = look("seen", tool="supernode_effect", features=features, supernode="Texas")
    assert n_units([looked], arm(tool="supernode_effect", supernode="Ohio")) == left


def test_a_group_that_is_exchanged_is_not_the_group_that_is_taken_out():
    assert n_units([look("seen", tool="supernode_effect", mode="swap")], arm(tool="supernode_effect")) == 1


@pytest.mark.parametrize(
    "again",
    [
        pairs_on(NEW),
        pairs_on(NEW, "the  capital of {} "),
        pairs_on(NEW[:1], "where {} lies"),
        [{"base": "elsewhere", "corrupted": "the capital of new 1", "cluster": ""}],
        pairs_on(NEW, cluster=False),
    ],
    ids=["the same", "but for spaces", "one entity in another wording", "as a counterfactual", "under no name"],
)
def test_the_best_of_many_looks_confirmed_on_what_it_was_seen_on_leaves_all_of_them_counted(again):
    looks = [look(f"seen {i}") for i in range(5)]
    assert n_units([*looks, look("", STRONG, pairs=again)], arm()) == 6


def test_looks_are_not_hidden_by_a_second_prediction_that_keeps_apart_from_them():
    """One place sealed on new prompts, and nearly the same place on the prompts that looked best among many."""
    looks = [look(f"seen {i}", tool="supernode_effect") for i in range(5)]
    apart = arm(tool="supernode_effect")
    best = tuple(pair["cluster"] for pair in looks[3].args["pairs"])
    near = arm("two", "supernode_effect", on=best, features=[*GROUP["features"], "3/78"])
    assert n_units(looks, apart) == 0
    assert n_units(looks, apart, near) == 5


def test_another_instrument_may_confirm_on_an_entity_but_on_no_prompt_that_the_unit_was_seen_on():
    looks = [look("seen")]
    pairs = [pair | {"base": f"where {pair['cluster']} is"} for pair in looks[0].args["pairs"]]
    group = arm("two", tool="supernode_effect", pairs=pairs)
    assert n_units(looks, arm(), group) == 1, "its counterfactuals are among the prompts"
    elsewhere = [pair | {"corrupted": "nowhere"} for pair in pairs]
    assert n_units(looks, arm(), arm("two", tool="supernode_effect", pairs=elsewhere)) == 0
    assert n_units(looks, arm(), arm("two", pairs=elsewhere, sites=["mlp_out.2"])) == 1


def test_what_is_sealed_and_cannot_be_measured_stands_in_for_nothing():
    tested, idle = predicted("p1", arm()), predicted("p2", arm("two", sites=["mlp_out.2"]))
    half = predicted("p3", arm("three", sites=["head.0.1"]), arm("four", sites=["head.0.1"], value="class_mean"))
    arms = measured(tested, STRONG, "one") | measured(half, STRONG, "three")
    looks = [look("a", sites=["mlp_out.2"]), look("a", sites=["head.0.1"], value="class_mean")]
    judged = judge_all([tested, idle, half], arms, {}, looks, seed=0)
    assert set(judged) == {"p1", "p3"}
    (reason,) = [gate.reason for gate in judged["p1"].gates if gate.name == "permutation"]
    assert "among 4 units" in reason


def test_sealing_the_abandoned_counts_them_by_their_confirmations():
    """Nothing is gained by sealing many: each brings its own p."""
    places = [f"head.{layer}.{head}" for layer in range(4) for head in range(4)]
    wanted = predicted("p", arm())
    others = [predicted(place, arm(place, sites=[place])) for place in places]
    arms = measured(wanted, STRONG, "one")
    for one, place in zip(others, places, strict=True):
        arms |= measured(one, NONE, place)
    looks = [look("seen", sites=[place]) for place in places]
    abandoned = judge_all([wanted], arms, {}, looks, seed=0)["p"].q
    assert judge_all([wanted, *others], arms, {}, looks, seed=0)["p"].q == abandoned == pytest.approx(17 / 2**8)
