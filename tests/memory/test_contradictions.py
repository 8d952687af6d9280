"""Claims of different runs that cannot both be true, worked out by hand."""

import pytest
from pydantic import ValidationError
from vesalius.memory import Memory, Only
from vesalius.memory._contradictions import compare

OPPOSITE, SIZES = "opposite verdicts", "intervals that exclude each other"
ABSENCE = {"kind": "absence", "predicts": "no effect"}
FEATURES = {"site": "", "position": "", "features": ("1/37", "2/5"), "supernode": "Texas", "dictionary": "d" * 64}


@pytest.fixture
def pair(claim, tested):
    """Two claims of two runs, each from what its verdict, its interval and its test differ in."""

    def made(one, other):
        def claimed(run, changes):
            about = tested(**changes.get("tested", {}))
            fields = {"run": run, "verdict": "supported", "interval": (0.3, 0.5), **changes, "tested": about}
            return claim(**fields)

        return [claimed("run-1", one), claimed("run-2", other)]

    return made


def kinds(claims):
    return [found.why for found in compare(claims).contradictions]


def test_supported_against_refuted_is_found_with_both_sides(pair):
    one, other = pair({}, {"verdict": "refuted", "interval": (-0.01, 0.02), "text": "Said in quite other words."})
    (found,) = compare([other, one]).contradictions
    assert (found.why, found.one, found.other) == (OPPOSITE, (one,), (other,))
    assert found.tested == one.tested


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": {"model": "atlas", "fingerprint": "b" * 64}},
        {"subject": {"model": "atlas", "fingerprint": "a" * 64, "reinit_seed": 1}},
        {"tested": {"site": "resid_post.2"}},
        {"tested": {"position": "last"}},
        {"tested": {"behaviour": "task plural"}},
        {"tested": {"intervention": "patch (value class_mean)"}},
        {"tested": FEATURES},
        {"run": "run-1"},
        {"verdict": "inconclusive"},
    ],
    ids=str,
)
def test_claims_about_different_things_or_of_one_run_do_not_contradict(pair, changes):
    assert kinds(pair({}, {"verdict": "refuted"})) == [OPPOSITE]
    assert kinds(pair({}, {"verdict": "refuted", **changes})) == []


def test_the_same_model_under_another_name_is_the_same_weights(pair):
    elsewhere = {"model": "/elsewhere/atlas", "fingerprint": "a" * 64}
    assert kinds(pair({}, {"verdict": "refuted", "subject": elsewhere})) == [OPPOSITE]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [OPPOSITE]),
        ({"dictionary": "e" * 64}, []),
        ({"features": ("1/37",)}, []),
        ({"supernode": "Ohio"}, [OPPOSITE]),
    ],
    ids=["same", "other dictionary", "other features", "other name, same features"],
)
def test_groups_of_features_are_the_same_by_features_and_dictionary(pair, changes, expected):
    assert kinds(pair({"tested": FEATURES}, {"verdict": "refuted", "tested": FEATURES | changes})) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # an absence by the same counterfactuals: both held, and one of them is wrong
        ({}, {"tested": ABSENCE, "interval": (-0.01, 0.01)}, [OPPOSITE]),
        # an effect refuted and an absence supported agree
        ({"verdict": "refuted", "interval": (-0.01, 0.02)}, {"tested": ABSENCE, "interval": (-0.01, 0.01)}, []),
        # an effect supported and an absence refuted by a positive effect agree
        ({}, {"tested": ABSENCE, "verdict": "refuted", "interval": (0.3, 0.5)}, []),
        # an absence refuted by a negative effect is no effect of the sort that was supported
        ({}, {"tested": ABSENCE, "verdict": "refuted", "interval": (-0.5, -0.3)}, [OPPOSITE]),
        ({"verdict": "refuted", "interval": (-0.5, -0.3)},
         {"tested": ABSENCE, "verdict": "refuted", "interval": (-0.5, -0.3)}, []),
        # two absences
        ({"tested": ABSENCE, "interval": (-0.01, 0.01)}, {"tested": ABSENCE, "verdict": "refuted"}, [OPPOSITE]),
        ({"tested": ABSENCE, "interval": (-0.04, -0.03)}, {"tested": ABSENCE, "interval": (0.01, 0.02)}, []),
    ],
)  # fmt: skip
def test_an_absence_is_set_against_the_effect_that_it_denies(pair, one, other, expected):
    assert kinds(pair(one, other)) == expected
    assert kinds(pair(other, one)) == expected


def test_what_a_group_is_needed_for_does_not_contradict_what_it_is_not_needed_for(pair):
    """The two tests of one name: other prompts, so neither says anything of the other."""
    needed = {"tested": FEATURES | {"families": ("prompts with the word",)}}
    spared = {"tested": FEATURES | ABSENCE | {"families": ("other answers",)}, "interval": (-0.01, 0.01)}
    assert kinds(pair(needed, spared)) == []
    assert kinds([*pair(needed, spared), *pair({**needed, "verdict": "refuted", "text": "x"}, spared)]) == []


def test_the_same_statement_by_other_counterfactuals_is_still_the_same_statement(pair):
    assert kinds(pair({}, {"verdict": "refuted", "tested": {"families": ("another kind",)}})) == [OPPOSITE]


@pytest.mark.parametrize(
    ("one", "other", "families", "expected"),
    [
        ((0.3, 0.5), (0.6, 0.7), None, [SIZES]),
        ((0.3, 0.5), (0.5, 0.7), None, []),  # they touch
        ((0.3, 0.5), None, None, []),
        ((0.3, 0.5), (0.6, 0.7), ("another kind",), []),  # other counterfactuals may have another size
    ],
)
def test_two_effects_that_both_held_exclude_each_other_where_their_intervals_do(pair, one, other, families, expected):
    changed = {"interval": other, "tested": {"families": families} if families else {}}
    claims = pair({"interval": one}, changed)
    found = compare(claims).contradictions
    assert [each.why for each in found] == expected
    for each in found:
        assert [claim.interval for claim in (*each.one, *each.other)] == [(0.6, 0.7), (0.3, 0.5)]


def test_many_runs_make_one_contradiction_with_two_sides(claim, tested):
    held = [claim(run=f"yes-{i}", tested=tested()) for i in range(6)]
    refuted = [claim(run=f"no-{i}", verdict="refuted", interval=(0.0, 0.01), tested=tested()) for i in range(4)]
    (found,) = compare([*refuted, *held]).contradictions
    assert ([c.run for c in found.one], [c.run for c in found.other]) == (
        [f"yes-{i}" for i in range(6)],
        [f"no-{i}" for i in range(4)],
    )


def test_what_was_compared_and_what_could_not_be_is_counted(claim, tested):
    claims = [
        claim("a", tested=tested()),
        claim("b", tested=tested(), verdict="inconclusive"),
        claim("c", verdict="refuted"),
        claim("d"),
    ]
    found = compare(claims)
    assert (found.contradictions, found.compared, found.undecided, found.not_comparable) == ((), 1, 1, 2)


def test_a_memory_compares_its_own_claims_of_one_model(tmp_path, spelling, pair, others):
    foreign = [one.model_copy(update={"subject": others}) for one in pair({}, {"verdict": "refuted"})]
    with Memory(tmp_path, spelling) as memory:
        memory.remember([*pair({}, {"verdict": "refuted"}), *foreign])
        assert len(memory.contradictions().contradictions) == 2
        (found,) = memory.contradictions(Only(model=others.fingerprint)).contradictions
        assert found.one[0].subject == others
        memory.forget("run-2")
        assert memory.contradictions().contradictions == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ("1/2",), "dictionary": "d"}, "one of the two"),
        ({"site": ""}, "one of the two"),
        ({"site": "", "features": ("1/2",)}, "of which dictionary"),
        ({"dictionary": "d"}, "of which dictionary"),
        ({"families": ()}, "at least 1"),
        ({"behaviour": ""}, "at least 1"),
    ],
)
def test_a_test_without_a_place_is_none(tested, changes, message):
    with pytest.raises(ValidationError, match=message):
        tested(**changes)


def test_a_claim_without_what_tested_it_still_reads(claim):
    old = {key: value for key, value in claim().model_dump(mode="json").items() if key != "tested"}
    assert type(claim()).model_validate(old) == claim()
