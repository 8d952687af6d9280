"""What becomes of a claim, from hand-worked effects."""

import pytest
from vesalius.agent._evidence import Evidence, Prediction, Sample
from vesalius.agent.comparing.labels import corrected, difference, is_less, label_of
from vesalius.agent.comparing.results import Elsewhere
from vesalius.agent.judge import judge

CITIES = [f"city {i}" for i in range(12)]
PAIRS = [{"base": city} for city in CITIES]


def sample(effects, clusters=CITIES, right=True):
    return Sample(
        measurement=f"m-{sum(effects):.0f}",
        counterfactual_family="f",
        effects=tuple(effects),
        clusters=tuple(clusters[: len(effects)]),
        moved=tuple(e > 0.5 for e in effects),
        random_effects=(0.0,) * 20,
        no_op_change=0.0,
        gap=5.0,
        clean_correct=(right,) * len(effects),
    )


def prediction(direction="positive"):
    arm = {"label": "f", "counterfactual_family": "f", "tool": "patch", "args": {"pairs": PAIRS, "sites": ["head.0.0"]}}
    return Prediction.model_validate(
        {
            "id": "p1",
            "hypothesis": "h1",
            "direction": direction,
            "kind": "absence" if direction == "none" else "mediation",
            "expected": 0.9 if direction == "positive" else None,
            "arms": [arm],
            "twin_arms": [arm],
            "chance": 0.0,
            "holds_out_entities": True,
            "holds_out_template": True,
        }
    )


def spread(mean):
    """Twelve effects of that mean that are not all one."""
    return [mean + 0.01 * (-1) ** i for i in range(12)]


def judged(effects, direction="positive", right=True):
    evidence = Evidence(confirmation=(sample(effects, right=right),), twin_without_gap=("f",))
    return judge(prediction(direction), evidence)


def labelled(before, after, verdict="supported", elsewhere=(), direction="positive", right=True, failed=""):
    gap = difference({"f": (PAIRS, sample(before))}, {"f": (PAIRS, sample(after))}, seed=0)
    (q,) = corrected([gap])
    about = prediction(direction)
    found = None if failed else judged(after, direction, right)
    return label_of(verdict, about, found, failed, is_less(about, gap, q), elsewhere)


def place(verdict_of, made_up):
    return Elsewhere(place="head.1.1", claim="c9", seen=0.9, made_up=made_up, judgement=judged(verdict_of))


def test_a_difference_is_paired_over_the_same_prompts():
    # Effects that differ wildly between prompts, and by exactly .1 within each.
    before = [0.2 * i for i in range(12)]
    found = difference({"f": (PAIRS, sample(before))}, {"f": (PAIRS, sample([e - 0.1 for e in before]))}, seed=0)
    assert found.interval.mean == pytest.approx(0.1)
    assert found.interval.low == pytest.approx(0.1)
    assert found.p == pytest.approx(2**-12)


def test_prompts_are_matched_by_what_they_say_and_the_others_left_out():
    after = sample([0.5, 0.1], clusters=[CITIES[3], CITIES[1]])
    found = difference({"f": (PAIRS, sample(spread(0.9)))}, {"f": ([PAIRS[3], PAIRS[1]], after)}, seed=0)
    assert found.interval.mean == pytest.approx((0.89 - 0.5 + 0.89 - 0.1) / 2)
    assert found.interval.n_clusters == 2


def test_no_prompt_in_common_is_no_difference():
    other = [{"base": "elsewhere"}] * 12
    assert difference({"f": (PAIRS, sample(spread(1)))}, {"f": (other, sample(spread(0)))}, seed=0) is None
    assert corrected([None]) == [None]


def test_clusters_that_hang_together_count_once():
    pairs = [{"base": f"{i}"} for i in range(12)]
    two = ["one", "other"] * 6
    found = difference({"f": (pairs, sample(spread(0.9), two))}, {"f": (pairs, sample(spread(0.1), two))}, seed=0)
    assert found.p == pytest.approx(1 / 4)


def test_the_same_effect_again_is_held():
    assert labelled(spread(0.9), spread(0.9)).label == "held"


def test_a_loss_that_does_not_matter_is_held():
    assert labelled(spread(0.9), [e - 0.04 for e in spread(0.9)]).label == "held"


def test_a_greater_effect_is_held():
    assert labelled(spread(0.7), spread(0.9)).label == "held"


def test_a_sure_loss_with_the_effect_still_there_is_weakened():
    assert labelled(spread(0.9), spread(0.6)).label == "weakened"


def test_a_sure_loss_that_leaves_the_verdict_open_is_weakened_and_says_so():
    found = labelled(spread(0.9), [0.0, 0.12] * 6)
    assert found.label == "weakened"
    assert "What is left of it is undecided" in found.reason


def test_no_effect_left_is_broke():
    found = labelled(spread(0.9), spread(0.0))
    assert (found.label, found.cause) == ("broke", "mechanism")


def test_a_loss_that_may_be_chance_and_a_verdict_left_open_is_undecided():
    assert labelled([0.3, 0.0] * 6, [0.0, 0.3] * 6).label == "undecided"


def test_gone_here_and_supported_elsewhere_is_moved():
    found = labelled(spread(0.9), spread(0.0), elsewhere=[place(spread(0.9), made_up=0.95)])
    assert found.label == "moved"
    assert "`head.1.1` (c9)" in found.reason


def test_a_place_that_makes_up_for_half_leaves_it_broken_and_is_named():
    found = labelled(spread(0.9), spread(0.0), elsewhere=[place(spread(0.5), made_up=0.55)])
    assert found.label == "broke"
    assert "Part of it is made up for at `head.1.1`" in found.reason


def test_a_place_that_does_not_confirm_moves_nothing():
    found = labelled(spread(0.9), spread(0.0), elsewhere=[place(spread(0.0), made_up=1.0)])
    assert found.label == "broke"
    assert "head.1.1" not in found.reason


def test_a_claim_that_holds_is_not_moved_by_what_others_do():
    assert labelled(spread(0.9), spread(0.9), elsewhere=[place(spread(0.9), made_up=1.0)]).label == "held"


def test_an_answer_that_is_gone_is_broke_and_its_cause_is_the_behaviour():
    found = labelled(spread(0.9), spread(0.9), right=False)
    assert (found.label, found.cause) == ("broke", "behaviour")


def test_no_gap_between_the_answers_is_a_behaviour_that_is_gone():
    found = labelled(spread(0.9), spread(0.9), failed="There is no effect to share out: 0.0 nats.")
    assert (found.label, found.cause) == ("broke", "behaviour")


def test_what_cannot_be_run_is_not_testable_with_the_reason():
    found = labelled(spread(0.9), spread(0.9), failed="`head.7.0` is out of range.")
    assert (found.label, found.reason) == ("not testable", "`head.7.0` is out of range.")


def test_an_effect_where_there_was_none_breaks_an_absence():
    assert labelled(spread(0.0), spread(0.0), direction="none").label == "held"
    found = labelled(spread(0.0), spread(0.5), direction="none")
    assert (found.label, found.cause) == ("broke", "mechanism")


@pytest.mark.parametrize(
    ("verdict", "after", "label"),
    [
        ("inconclusive", spread(0.9), "newly supported"),
        ("refuted", spread(0.9), "newly supported"),
        ("refuted", spread(0.0), "unchanged"),
        ("inconclusive", spread(0.0), "newly refuted"),
        ("refuted", [0.3, 0.0] * 6, "undecided"),
    ],
)
def test_what_a_does_not_support_is_never_flagged(verdict, after, label):
    assert labelled(spread(0.1), after, verdict=verdict).label == label


def test_differences_are_corrected_over_all_claims_compared():
    one = difference({"f": (PAIRS, sample(spread(0.9)))}, {"f": (PAIRS, sample(spread(0.8)))}, seed=0)
    none = difference({"f": (PAIRS, sample(spread(0.9)))}, {"f": (PAIRS, sample(spread(0.9)))}, seed=0)
    alone, *_ = corrected([one])
    among, *_ = corrected([one, *[none] * 9])
    assert among == pytest.approx(10 * alone)
