"""What becomes of a claim, from hand-worked effects."""

import pytest
from vesalius.agent._evidence import Evidence, Prediction, Sample
from vesalius.agent.comparing.differences import Loss, answers_lost, corrected, effect_lost, right_on
from vesalius.agent.comparing.labels import label_of
from vesalius.agent.comparing.results import Elsewhere
from vesalius.agent.judge import judge

CITIES = [f"city {i}" for i in range(12)]
PAIRS = [{"base": city} for city in CITIES]


def sample(effects, clusters=CITIES, right=True):
    """Of effects on pairs of which all, none, or those that are told are answered right."""
    return Sample(
        measurement=f"m-{sum(effects):.0f}",
        counterfactual_family="f",
        effects=tuple(effects),
        clusters=tuple(clusters[: len(effects)]),
        moved=tuple(e > 0.5 for e in effects),
        random_effects=(0.0,) * 20,
        no_op_change=0.0,
        gap=5.0,
        clean_correct=(right,) * len(effects) if isinstance(right, bool) else tuple(right),
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


def judged(after, direction="positive"):
    evidence = Evidence(confirmation=(after,), twin_without_gap=("f",))
    return judge(prediction(direction), evidence)


def on(effects, right=True, clusters=CITIES):
    return {"f": (PAIRS, sample(effects, clusters, right))}


def difference(before, after):
    return effect_lost(on(before), on(after), seed=0)


def labelled(
    before,
    after,
    verdict="supported",
    elsewhere=(),
    direction="positive",
    right=True,
    failed="",
    clusters=CITIES,
    beside=(),
):
    a, b = on(before, clusters=clusters), on(after, right, clusters)
    lost = effect_lost(a, b, seed=0) if direction == "positive" else None
    loss = Loss(corrected([lost])[0], corrected([answers_lost(a, b, seed=0)])[0], right_on(a, b))
    found = None if failed else judged(b["f"][1], direction)
    return label_of(verdict, prediction(direction), found, failed, loss, sum(before) / len(before), elsewhere)


def place(verdict_of, made_up):
    return Elsewhere(place="head.1.1", claim="c9", seen=0.9, made_up=made_up, judgement=judged(sample(verdict_of)))


def test_a_difference_is_paired_over_the_same_prompts():
    # Effects that differ wildly between prompts, and by exactly .1 within each.
    before = [0.2 * i for i in range(12)]
    found = difference(before, [e - 0.1 for e in before])
    assert found.interval.mean == pytest.approx(0.1)
    assert found.interval.low == pytest.approx(0.1)
    assert found.p == pytest.approx(2**-12)


def test_prompts_are_matched_by_what_they_say_and_the_others_left_out():
    after = sample([0.5, 0.1], clusters=[CITIES[3], CITIES[1]])
    b = {"f": ([PAIRS[3], PAIRS[1]], after)}
    found = effect_lost(on(spread(0.9)), b, seed=0)
    assert right_on(on(spread(0.9)), b) == (2, 2, 2)
    assert found.interval.mean == pytest.approx((0.89 - 0.5 + 0.89 - 0.1) / 2)
    assert found.interval.n_clusters == 2


def test_no_prompt_in_common_is_no_difference():
    other = [{"base": "elsewhere"}] * 12
    assert effect_lost(on(spread(1)), {"f": (other, sample(spread(0)))}, seed=0) is None
    assert right_on(on(spread(1)), {"f": (other, sample(spread(0)))}) == (0, 0, 0)
    assert corrected([None]) == [None]


def test_clusters_that_hang_together_count_once():
    pairs = [{"base": f"{i}"} for i in range(12)]
    two = ["one", "other"] * 6
    a, b = ({"f": (pairs, sample(spread(mean), two))} for mean in (0.9, 0.1))
    found = effect_lost(a, b, seed=0)
    assert found.p == found.smallest_p == pytest.approx(1 / 4)


def test_the_same_effect_again_is_held():
    assert labelled(spread(0.9), spread(0.9)).label == "held"


def test_a_loss_that_does_not_matter_is_held():
    assert labelled(spread(0.9), [e - 0.04 for e in spread(0.9)]).label == "held"


def test_a_loss_that_may_matter_is_not_held_however_well_the_effect_is_supported():
    uneven = [e - (0.3 if i % 4 == 0 else -0.05) for i, e in enumerate(spread(0.9))]  # .04 less on the whole
    found = labelled(spread(0.9), uneven)
    assert found.label == "undecided"
    assert "Whether it is less on B is open: it lost 0.0375" in found.reason


def test_a_loss_of_too_few_clusters_to_be_sure_is_undecided_and_says_so():
    seven = [f"city {i % 7}" for i in range(12)]
    none = effect_lost(on(spread(0.9)), on(spread(0.9)), seed=0)
    a, b = on(spread(0.9), clusters=seven), on([e - 0.1 for e in spread(0.9)], clusters=seven)
    among, *_ = corrected([effect_lost(a, b, seed=0), *[none] * 7])
    assert among.found.interval.low == pytest.approx(0.1)
    assert among.smallest_q == pytest.approx(8 * 2**-7)  # above .05, however great the loss
    told = label_of("supported", prediction(), judged(b["f"][1]), "", Loss(among), 0.9)
    assert told.label == "undecided"
    assert "Too few clusters: 7 reach no q below 0.062." in told.reason


def test_one_loss_among_many_that_are_not_says_what_q_it_could_have_reached():
    none = effect_lost(on(spread(0.9)), on(spread(0.9)), seed=0)
    alone, *_ = corrected([difference(spread(0.9), spread(0.6)), *[none] * 3])
    assert alone.smallest_q == alone.q == pytest.approx(4 * 2**-12)


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


def test_refuted_without_a_sure_loss_is_undecided():
    found = labelled([0.5, -0.4] * 6, [0.0] * 12)
    assert judged(sample([0.0] * 12)).verdict == "refuted"
    assert found.label == "undecided"
    assert "not surely less than on A" in found.reason
    assert labelled([0.06, 0.052] * 6, [0.0] * 12).label == "broke"


def test_a_place_that_keeps_most_has_not_moved_but_shares():
    elsewhere = [place(spread(0.9), made_up=0.95)]
    found = labelled(spread(0.9), spread(0.6), elsewhere=elsewhere)
    assert found.label == "weakened"
    assert "made up for at `head.1.1`" in found.reason
    assert labelled(spread(0.9), spread(0.3), elsewhere=elsewhere).label == "moved"


SOME, FEW = [i < 7 for i in range(12)], [i < 4 for i in range(12)]


@pytest.mark.parametrize(
    ("right", "label", "cause"),
    [
        ([True] * 11 + [False], "held", ""),  # one of twelve may be chance
        (SOME, "weakened", "behaviour"),  # five are not (p = 1/32), and seven are most
        (FEW, "broke", "behaviour"),
    ],
)
def test_effects_on_the_few_prompts_that_b_still_answers_do_not_hold_a_claim(right, label, cause):
    found = labelled(spread(0.9), spread(0.9), right=right)
    assert (found.label, found.cause) == (label, cause)
    assert (f"Of 12 prompts B answers {sum(right)} right, and A 12." in found.reason) is bool(cause)


def test_answers_that_are_lost_are_told_beside_an_effect_that_is():
    found = labelled(spread(0.9), spread(0.5), right=SOME)
    assert (found.label, found.cause) == ("weakened", "")
    assert found.reason.endswith("Of 12 prompts B answers 7 right, and A 12.")


def test_an_absence_in_a_behaviour_that_is_gone_is_broke():
    found = labelled(spread(0.0), spread(0.0), direction="none", right=FEW)
    assert (found.label, found.cause) == ("broke", "behaviour")


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
    one, none = difference(spread(0.9), spread(0.8)), difference(spread(0.9), spread(0.9))
    alone, *_ = corrected([one])
    among, *_ = corrected([one, *[none] * 9])
    assert among.q == pytest.approx(10 * alone.q)
