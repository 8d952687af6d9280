"""Selective ablation on the page: for each task what it and the other lose by dose, beside random units."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._line_plot import Series, line_plot
from ._svg import element
from ._tables import Cell, table
from ._task_words import SETS, passed
from .legend import OUTCOMES

MOST_UNITS = 8  # of a fold, in the table


def ablation_view(m: Measurement) -> Markup:
    """Both tasks, and what the two sets of prompts have in common."""
    return Markup("").join(_task(which, m) for which in SETS) + _matched(m)


def _task(which: str, m: Measurement) -> Markup:
    doses: list[Mapping[str, Any]] = sorted(m.result[which]["doses"], key=lambda dose: dose["n_units"])
    places, other = [str(dose["n_units"]) for dose in doses], next(one for one in SETS if one != which)
    level = m.args["level"]
    own = _loss(f"the {which} task, which they were found for", "target", doses)
    lost = line_plot(
        places,
        [own, _loss(f"the {other} task", "other", doses)],
        f"Loss by dose of {level} found for the {which} task ({m.id})",
        f"loss (share of the answers' height), by {level}",
        include=(0.0,),
    )
    bars = tuple((dose["low"], dose["high"]) for dose in doses)
    selective = line_plot(
        places,
        [Series("selectivity, with its 95 % interval", tuple(dose["selectivity"] for dose in doses), (), bars)],
        f"Selectivity by dose ({m.id})",
        "selectivity: the one's loss less the other's",
        include=(0.0,),
        clouds=[dose["random_selectivities"] for dose in doses],
    )
    caption = (
        "Units were found on one fold of prompts and judged on the others; on the left a dot is a fold, on the right a "
        "grey dot is a random set of as many units."
    )
    pictures = element("div", lost, selective, class_="beside")
    heading = element("h4", f"{level.capitalize()} found for the {which} task")
    return heading + element("figure", pictures, element("figcaption", caption)) + _table(which, doses)


def _loss(text: str, of: str, doses: Sequence[Mapping[str, Any]]) -> Series:
    folds = tuple(tuple(fold[of] for fold in dose["folds"]) for dose in doses)
    return Series(text, tuple(dose[of] for dose in doses), folds)


def _table(which: str, doses: Sequence[Mapping[str, Any]]) -> Markup:
    rows: list[tuple[Cell, ...]] = [
        (
            dose["n_units"],
            dose["target"],
            dose["other"],
            element("span", f"{dose['selectivity']:z.3f} ({dose['low']:z.3f} to {dose['high']:z.3f})"),
            max(dose["random_selectivities"]),
            dose["as_selective"],
            dose["overlap"],
            _outcome(dose),
        )
        for dose in doses
    ]
    head = ("units", "own loss", "other loss", "selectivity (interval)", "largest random", "p", "overlap", "outcome")
    caption = (
        f"Doses for the {which} task; losses are shares of the answers' height. p: random sets as selective, these "
        "units counted in (share); overlap: units that two folds share (share); passed: the interval lies above "
        "nothing, and no random set is as selective"
    )
    return table(head, rows, caption) + _folds(doses)


def _outcome(dose: Mapping[str, Any]) -> Markup:
    outcome = "pass" if passed(dose) else "fail"
    return element("span", " ".join(OUTCOMES[outcome]), class_=f"outcome {outcome}")


def _folds(doses: Sequence[Mapping[str, Any]]) -> Markup:
    rows: list[tuple[Cell, ...]] = [
        (dose["n_units"], at + 1, fold["target_errors"], fold["other_errors"], _units(fold["units"]))
        for dose in doses
        for at, fold in enumerate(dose["folds"])
    ]
    head = ("units", "fold", "own answers lost", "other answers lost", "which, best first")
    listed = table(head, rows, "Units that each fold found, and answers lost without them (share)")
    return element("details", element("summary", "Which units, fold by fold"), listed)


def _units(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_UNITS} more" if len(names) > MOST_UNITS else ""
    return ", ".join(names[:MOST_UNITS]) + more


def _matched(m: Measurement) -> Markup:
    found, alike = m.result, m.result["matched"]
    rows: list[tuple[Cell, ...]] = [
        ("questions (count)", *found["n_questions"]),
        ("answered right, nothing taken out (share)", *found["right"]),
        ("height of right answers (nats)", *found["heights"]),
        ("mean length (tokens)", *alike["mean_lengths"]),
    ]
    caption = (
        f"The two sets. Distances (total variation): lengths {alike['length_distance']:.2f}, last tokens "
        f"{alike['last_token_distance']:.2f}, answers {alike['answer_distance']:.2f}. Given their own "
        f"values, units change no logit by more than {found['no_op_change']:g}"
    )
    return table(("", "first", "second"), rows, caption)
