"""What names predict: which tests a name gets, when discovery lets it through, and what the judge then sees."""

import pytest
from vesalius.agent._evidence import SMALLEST_EFFECT
from vesalius.agent._statistics import bootstrap_interval
from vesalius.agent.planners._supernode_prompts import Setting
from vesalius.agent.planners._supernodes import Named, _halves, name_tests, worth_sealing
from vesalius.tools import Measurement

PROMPT = "the capital of the state containing Dallas is"
STATES = ("Georgia", "Ohio", "Florida", "Oregon", "Arizona", "Michigan", "Illinois", "California")


@pytest.fixture(scope="module")
def setting(atlas) -> Setting:
    """The Dallas prompt."""
    return Setting(atlas.tasks, atlas.tasks[0], PROMPT, 0)


def made(setting, name: str, counterparts: tuple[str, ...] = STATES):
    return name_tests(Named(name, ("1/3",)), setting, dict.fromkeys(counterparts, ("1/7",)), "transcoders")


def test_a_value_is_swapped_and_what_is_said_is_taken_out_here_and_elsewhere(setting):
    found = {name: [(t.what, t.mode, t.direction) for t in made(setting, name)] for name in ("Texas", "Say (Austin)")}
    assert found["Texas"] == [("swap", "swap", "positive")]
    assert found["Say (Austin)"] == [("said", "ablate", "positive"), ("nothing else", "ablate", "none")]


def test_a_word_is_needed_where_it_stands_and_not_elsewhere(setting):
    found = made(setting, "capital")
    assert [(t.what, t.direction) for t in found] == [("needed", "positive"), ("nothing else", "none")]
    assert all("capital" in pair["base"] for pairs in found[0].arms.values() for pair in pairs)
    assert not any("capital" in pair["base"] for pairs in found[1].arms.values() for pair in pairs)


def test_a_relation_is_needed_by_its_own_prompts_and_not_by_others(setting):
    found = made(setting, "(state) related")
    assert [(t.what, t.direction) for t in found] == [("needed", "positive"), ("nothing else", "none")]
    own = {t.fill(r.slots) for t in setting.asked.templates for r in setting.asked.rows}
    assert {pair["base"] for pairs in found[0].arms.values() for pair in pairs} <= own
    assert not {pair["base"] for pairs in found[1].arms.values() for pair in pairs} & own


@pytest.mark.parametrize("name", ["elephant", "Say (?)", "(?) related", "Say (elephant)", "punctuation"])
def test_a_name_that_no_task_data_can_test_predicts_nothing(setting, name):
    assert made(setting, name) == ()


def test_a_swap_with_nothing_to_put_in_predicts_nothing(setting):
    assert made(setting, "Texas", counterparts=()) == ()
    assert made(setting, "Texas", counterparts=("Texas", "elephant")) == ()


def test_one_city_in_few_wordings_is_too_little_to_judge(setting):
    assert made(setting, "Dallas", counterparts=("Elgin", "Tempe", "Boise")) == ()


def test_a_proposal_is_about_the_group_and_its_two_families_share_no_city(setting):
    (found,) = made(setting, "Texas")
    prediction = found.proposal("7").prediction
    assert (prediction.id, prediction.hypothesis, prediction.direction) == ("p7", "h7", "positive")
    one, other = ({pair["cluster"] for pair in arm.args["pairs"]} for arm in prediction.arms)
    assert one
    assert not one & other
    for arm in prediction.arms:
        assert set(arm.args["counterparts"]) == {pair["counterpart"] for pair in arm.args["pairs"]}
    assert found.experiment.args["random_draws"] >= 20


def seen(
    effects: list[float], random_effects: tuple[float, ...] = (0.0,), gap: float = 1.0, right: bool = True
) -> Measurement:
    pairs = [{"base": f"prompt {i}", "cluster": f"city {i}"} for i in range(len(effects))]
    cell = {"effect": sum(effects) / len(effects), "effects": effects, "random_effects": random_effects}
    rest = {"id": "m-0", "tool": "supernode_effect", "digest": "0", "seconds": 0.0}
    key = {"model": "atlas", "fingerprint": "0"}
    result = {"cells": [cell], "gap": gap, "clean_correct": [right] * len(effects)}
    return Measurement.model_validate(rest | {"subject": key, "args": {"pairs": pairs}, "result": result})


@pytest.mark.parametrize(
    ("effects", "drawn", "worth"),
    [
        ([0.3, 0.4, 0.35, 0.3], (0.1,), True),
        ([0.3, 0.4, 0.35, 0.3], (0.1, 0.5), False),  # a random group does as much
        ([0.9, 0.0, 0.0, 0.0], (0.1,), False),  # one prompt of four
        ([0.01, 0.02, 0.01, 0.02], (0.0,), False),
        ([-0.3, -0.4, -0.35, -0.3], (0.0,), False),
    ],
)
def test_what_discovery_bears_out_beyond_noise_and_random_groups_is_sealed(setting, effects, drawn, worth):
    (swap,) = made(setting, "Texas")
    assert worth_sealing(swap, seen(effects, drawn)) is worth


@pytest.mark.parametrize(
    ("effects", "worth"),
    [([0.01, 0.0, -0.01, 0.02], True), ([0.1, 0.12, 0.1, 0.1], False), ([0.3, 0.0, 0.0, 0.0], False)],
)
def test_what_does_something_elsewhere_in_discovery_is_not_sealed_as_doing_nothing(setting, effects, worth):
    assert worth_sealing(made(setting, "Say (Austin)")[1], seen(effects)) is worth


def test_without_the_behaviour_nothing_is_sealed(setting):
    (swap,) = made(setting, "Texas")
    effects = [0.3, 0.4, 0.35, 0.3]
    assert worth_sealing(swap, seen(effects))
    assert not worth_sealing(swap, seen(effects, gap=-1.0))
    assert not worth_sealing(swap, seen(effects, right=False))


def test_a_value_is_not_exchanged_for_a_group_of_the_same_features(setting):
    """One feature may be named after several values: putting it in for itself would show what it does alone."""
    put_in = dict.fromkeys(STATES, ("1/7",)) | {"Ohio": ("1/3",), "Georgia": ("1/3", "1/9")}
    (found,) = name_tests(Named("Texas", ("1/3", "1/4")), setting, put_in, "transcoders")
    used = {pair["counterpart"] for pairs in (*found.arms.values(), found.discovery) for pair in pairs}
    assert "Ohio" not in used
    assert "Georgia" in used
    assert name_tests(Named("Texas", ("1/3",)), setting, dict.fromkeys(STATES, ("1/3",)), "transcoders") == ()


def test_discovery_draws_random_groups_only_where_an_effect_has_to_be_above_them(setting):
    needed, spared = made(setting, "Say (Austin)")
    assert needed.experiment.args["random_draws"] >= 20
    assert spared.experiment.args["random_draws"] == 0
    assert worth_sealing(spared, seen([0.01, 0.0, -0.01, 0.02], ()))


def test_that_nothing_happens_is_asked_of_either_half_of_the_prompts_as_the_judge_will(setting):
    """One answer that needs the group is no more than noise among all, and more than that in its own half."""
    spared = made(setting, "Say (Austin)")[1]
    quiet = [0.004 * (i % 3) for i in range(48)]
    assert worth_sealing(spared, seen(quiet))
    one_answer = [*quiet[:7], 0.25, *quiet[8:]]
    parts = [one_answer, *([one_answer[i] for i in half] for half in _halves(seen(one_answer).args["pairs"]))]
    highs = [bootstrap_interval(part, [str(i) for i in range(len(part))], seed=0).high for part in parts]
    assert highs[0] < SMALLEST_EFFECT < max(highs)
    assert not worth_sealing(spared, seen(one_answer))


def test_halves_share_no_entity_and_are_one_where_they_would_be_too_few():
    pairs = [{"cluster": f"city {i % 13}"} for i in range(30)]
    one, other = _halves(pairs)
    assert sorted(one + other) == [*range(30)]
    assert not {pairs[i]["cluster"] for i in one} & {pairs[i]["cluster"] for i in other}
    assert _halves(pairs[:9]) == [[*range(9)]]
