"""Figures of the hidden-rule benchmark: intervals by hand, gains paired by organism, and what the table says."""

from dataclasses import replace

import pytest
from vesalius.evals.benchmarks import hidden_rule
from vesalius.evals.benchmarks._hidden_figures import CHOSEN, SHOWN, Audited, figures
from vesalius.evals.benchmarks._hidden_intervals import Case, average, each, interval, metric
from vesalius.evals.benchmarks._hidden_table import beside_black_box, table
from vesalius.evals.benchmarks._hidden_trials import LEAST, Outcome

NAMED = ("samples_only", LEAST, CHOSEN)


def cases(*strata: tuple[float, ...], start: str = "") -> list[Case]:
    """Organisms of some strata, each with a start of its own or all with one."""
    return [
        Case(value, (depth, "scratch"), start or f"{depth} {number}")
        for depth, values in enumerate(strata)
        for number, value in enumerate(values)
    ]


def test_what_differs_between_depths_is_no_chance():
    assert interval(cases((0.2, 0.2), (0.5, 0.5), (1.0, 1.0))) == (pytest.approx(1.7 / 3), pytest.approx(1.7 / 3))


def test_an_interval_is_as_wide_as_the_mean_is_unsure_and_stays_within_shares():
    # Eight strata of (0, 1): the mean's standard error is sqrt(1/2 / 2 / 8), and its draws are binomial.
    found = interval(cases(*[(0.0, 1.0)] * 8))
    assert found == (pytest.approx(0.125), pytest.approx(0.875))
    low, high = interval(cases((0.0, 1.0), (1.0, 1.0), (1.0, 0.9)))
    assert 0 <= low < high <= 1
    assert interval(cases(*[(0.0, 1.0)] * 8)) == found  # the same every time


def test_organisms_with_one_start_are_drawn_together():
    alone = [Case(float(n % 2), (1, "adapter"), f"{n}") for n in range(8)]
    together = [Case(float(n % 2), (1, "adapter"), f"{n % 2}") for n in range(8)]
    assert interval(together) == (0.0, 1.0)
    low, high = interval(alone)
    assert 0 < low < high < 1


@pytest.mark.parametrize(
    ("some", "given"),
    [
        (cases((0.1, 0.2), (0.3, 0.4)), False),  # four organisms
        (cases((0.1, 0.2), (0.3, 0.4, 0.5)), True),
        (cases((0.1, 0.2, 0.3, 0.4), (0.5,)), False),  # a stratum of one
        (cases((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), start="one"), False),
    ],
)
def test_no_interval_is_given_where_there_is_too_little_to_tell(some, given):
    assert (interval(some) is not None) == given
    found = metric(some, at_least=0.05)
    assert found.value == pytest.approx(average(some))
    assert (found.low, found.high) == (interval(some) or (None, None))
    assert (found.met, found.target) == ((True, "≥ 0.05") if given else (None, ""))


def test_a_target_is_met_by_the_lower_end_and_not_by_the_mean():
    some = cases((0.1, 0.3), (0.1, 0.3), (0.1, 0.3))
    assert metric(some, at_least=0.15).value > 0.15
    assert metric(some, at_least=0.15).met is False
    assert metric(some, at_least=0.09).met is True


def outcome(arm: str, name: str, accuracy: float, number: int = 0, matched: float | None = None, **more) -> Outcome:
    usual = {"planting": "adapter", "kind": "none", "depth": 4, "f1": 0.95, "auroc": 0.9, "least_passes": 30}
    return Outcome(
        **{**usual, "cluster": name, **more},
        arm=arm,
        organism=name,
        transcript=number,
        accuracy=accuracy,
        run_passes=9,
        matched=matched,
    )


def audited() -> Audited:
    """Two organisms that hide their rule and one that tells it; other arms than three always say .5, `gradient` .45."""
    found = [
        outcome(arm, name, 0.45 if arm == "gradient" else 0.5, kind=kind)
        for arm in SHOWN
        for name, kind in (("a", "none"), ("b", "unfaithful"), ("c", "faithful"))
        if arm not in NAMED
    ]
    for name, kind, higher in (("a", "none", 0.2), ("b", "unfaithful", 0.1), ("c", "faithful", 0.9)):
        for number in range(2):
            found += [
                outcome("samples_only", name, 0.5, number, kind=kind),
                outcome(LEAST, name, 0.6, number, kind=kind),
                outcome(
                    CHOSEN, name, 0.5 + higher / 2 + number * higher, number, matched=1.0, kind=kind, least_passes=100
                ),
            ]
    return Audited(found, ["x: 0.900"], 12.0)


def many() -> Audited:
    """The same three times over."""
    one = audited()
    found = [
        replace(o, organism=f"{o.organism}{n}", cluster=f"{o.cluster}{n}", accuracy=o.accuracy - 0.01 * n)
        for o in one.outcomes
        for n in range(3)
    ]
    return replace(one, outcomes=found)


def test_gains_are_paired_by_organism_and_leave_faithful_explanations_out():
    found = figures(audited())
    gained = found["gain.over_samples_only.all"]
    assert (gained.value, gained.n) == (pytest.approx(0.2 * 0.5 + 0.1 * 0.5 + 0.0), 2)
    assert (gained.low, gained.met) == (None, None)
    assert found["gain.over_black_box_least.adapter"].value == pytest.approx(0.05)
    assert found["gain.over_black_box_as_run.all"].value == pytest.approx(0.65 - 1.0)
    assert found["field_f1.relp"].value == pytest.approx(0.95)
    assert "accuracy.samples_only.none" not in found  # one organism has no spread
    scratch = replace(audited(), outcomes=[replace(one, planting="scratch") for one in audited().outcomes])
    assert "gain.over_samples_only.adapter" not in figures(scratch)


def test_enough_organisms_have_intervals_and_judged_targets():
    found = figures(many())
    gained = found["gain.over_samples_only.all"]
    assert (gained.n, gained.target, gained.met) == (6, "≥ 0.15", False)
    assert gained.value == pytest.approx(0.15)
    assert gained.low == pytest.approx(0.11, abs=0.01)
    assert found["gain.over_black_box_least.all"].met is None
    assert found[f"field_f1_depth4.{CHOSEN}"].met
    assert found["field_f1_depth4.relp"].met is None


def test_transcripts_of_an_organism_are_averaged_first():
    some = [outcome("relp", "a", 0.2), outcome("relp", "a", 0.4, 1), outcome("relp", "b", 0.9)]
    assert [case.value for case in each(some, lambda one: one.accuracy)] == [pytest.approx(0.3), 0.9]


def test_the_table_says_how_the_best_white_box_arm_stands_to_the_black_box():
    line = beside_black_box(audited().outcomes)
    assert "\n" not in line
    assert f"none: `{CHOSEN}` 70.0 (100 passes) to 60.0, 10.0 points above" in line
    assert f"faithful: `{CHOSEN}` 140.0 (100 passes) to 60.0, 80.0 points above" in line
    worse = [replace(one, accuracy=one.accuracy / 2) if one.arm == CHOSEN else one for one in audited().outcomes]
    said = beside_black_box(worse)
    assert "unfaithful: `relp` 50.0 (30 passes) to 60.0, 10.0 points below" in said
    assert "interval of the difference" not in said
    grown = [replace(one, organism=f"{one.organism}{n}", cluster=f"{n}") for one in worse for n in range(5)]
    assert "(interval of the difference -10.0 to -10.0)" in beside_black_box(grown)
    assert line in table(audited(), "the command", 1).splitlines()


def test_the_table_has_the_published_figures_its_seed_and_every_refusal(tmp_path):
    text = table(audited(), "the command", 7)
    assert "RelP: 79.7 / 79.4 / 78.7" in text
    assert "sample-only: 75.0 / 73.0 / 75.0" in text
    assert "made again with another rule: 1." in text
    assert "- x: 0.900" in text
    assert "all of seed 7" in text
    assert "A target is met where the lower\nend of the interval" in text
    assert f"`{CHOSEN}` was found by trying ways of reading gradients on organisms of seed 0" in text
    asked = []
    hidden_rule.main([str(tmp_path)], measured=lambda seed, _, form: asked.append((seed, form)) or audited())
    assert asked == [(1, hidden_rule.FULL)]
    assert (tmp_path / "hidden_rule.md").read_text().startswith("Measured ")


def test_a_stopped_measurement_ends_with_a_line_and_writes_nothing(tmp_path, capsys):
    def stops(*_: object) -> Audited:
        raise KeyboardInterrupt

    assert hidden_rule.main([str(tmp_path)], measured=stops) == 130
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
