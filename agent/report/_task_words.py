"""What ablations of two tasks and cards of steering show: one sentence each, and the limits that steering keeps."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...tools import Measurement
from ..planners._plain import name, number, say, share
from ._limits import Limit
from ._sentence import Sentence

SETS = ("first", "second")
WEAKNESSES = {
    "effect": "it hardly moves the answer",
    "random": "a random direction moves the answer as far",
    "neighbour": "a neighbouring feature does too much of it",
    "prompt": "a text in front of the prompt does as much",
    "context": "another wording loses the effect",
    "layer": "the next layer loses the effect",
    "strength": "half or double the strength loses the effect",
    "off_target": "other prompts lose their answers",
    "fluency": "neutral text gets much worse",
}
AROUND = ("0.5", "2")  # multiples of the strength that are judged


def ablate_neurons_headline(m: Measurement) -> Sentence:
    """For each task the dose that tells most between the two, with interval and random sets."""
    unmatched = ", ".join(one.replace("_", " ") for one in m.result["matched"]["unmatched"])
    told = [_impairment(m, which) for which in SETS]
    return say(*told, f"The two sets differ in form ({unmatched}), so this may be all that shows." if unmatched else "")


def _impairment(m: Measurement, which: str) -> str:
    doses: list[Mapping[str, Any]] = m.result[which]["doses"]
    best = max(range(len(doses)), key=lambda i: doses[i]["selectivity"])
    at, dose = f"{which}.doses.{best}", doses[best]
    tried = f", of {number(m.id, f'{which}.doses.len', 'd')} doses the most telling," if len(doses) > 1 else ""
    return say(
        f"Without {number(m.id, f'{at}.n_units', 'd')} {m.args['level']} found for it{tried} the {which} task loses",
        share(m.id, f"{at}.target"),
        "of its answers' height and the other task",
        share(m.id, f"{at}.other") + ": selectivity",
        number(m.id, f"{at}.selectivity") + ", interval",
        number(m.id, f"{at}.low"),
        "to",
        number(m.id, f"{at}.high"),
        "on held-out prompts; the most selective of",
        number(m.id, f"{at}.random_selectivities.len", "d"),
        "random sets has",
        number(m.id, f"{at}.random_selectivities.max") + f". {_passed_in_words(dose)}.",
    ).text


def passed(dose: Mapping[str, Any]) -> bool:
    """Whether a dose is beyond chance: its interval above nothing, and itself above every random set."""
    return dose["low"] > 0 and dose["selectivity"] > max(dose["random_selectivities"])


def _passed_in_words(dose: Mapping[str, Any]) -> str:
    if passed(dose):
        return "It passes: selective beyond chance"
    return "It fails: a random set is as selective" if dose["low"] > 0 else "It fails: the interval reaches zero"


def steering_card_headline(m: Measurement) -> Sentence:
    """The effect beside every simpler way to it, and what it breaks."""
    found = m.result
    asked, near = _largest(found["prompting"]), _largest(found["neighbours"])
    broken = "; ".join(WEAKNESSES[one] for one in found["weaknesses"])
    return say(
        f"Pushed along the direction, {name(found['site'])} moves the logit difference by",
        number(m.id, "effect"),
        "nats; the strongest random direction moves it by",
        number(m.id, "random_effects.max") + ", a text in front of the prompt, unsteered, by",
        number(m.id, f"prompting.{asked}.effect") + ", a neighbouring feature by",
        number(m.id, f"neighbours.{near}.effect") + "; perplexity of neutral text is multiplied by",
        number(m.id, "perplexity_ratio") + ".",
        f"It is fragile: {broken}." if broken else "It passes: no limit of the rule is broken.",
    )


def _largest(arms: Sequence[Mapping[str, Any]]) -> int:
    return max(range(len(arms)), key=lambda i: arms[i]["effect"])


def card_limits(m: Measurement) -> list[Limit]:
    """Every limit of a card's rule with what was measured; whether it is kept is the measurement's own word."""
    found, rule = m.result, m.result["rule"]
    effect, kept = found["effect"], rule["kept_share"] * found["effect"]
    around = [one["effect"] for one in found["strengths"] if one["name"] in AROUND]
    near = [one["effect"] for one in found["layers"] if _is_next(one["name"], found["site"])]
    due = {
        "effect": ("it moves the answer (nats)", effect, f"at least {rule['smallest_effect']:g}"),
        "random": ("random directions do less (nats)", max(found["random_effects"]), f"less than {effect:.3g}"),
        "neighbour": (
            "a neighbouring feature does little of it (nats)",
            max(one["effect"] for one in found["neighbours"]),
            f"at most {rule['neighbour_share'] * effect:.3g}",
        ),
        "prompt": (
            "a text in front of the prompt does less (nats)",
            max(one["effect"] for one in found["prompting"]),
            f"less than {effect:.3g}",
        ),
        "context": (
            "every wording keeps it (nats)",
            min(one["effect"] for one in found["contexts"]),
            f"at least {kept:.3g}",
        ),
        "layer": ("the next layers keep it (nats)", min(near, default=None), f"at least {kept:.3g}"),
        "strength": ("half and double the strength keep it (nats)", min(around), f"at least {kept:.3g}"),
        "off_target": (
            "other prompts keep their answers (share lost)",
            found["off_target"]["lost"],
            f"at most {rule['off_target_change']:g}",
        ),
        "fluency": (
            "neutral text stays fluent (perplexity ratio)",
            found["perplexity_ratio"],
            f"at most {rule['perplexity_ratio']:g}",
        ),
    }
    return [
        Limit(test, measured, limit, None if measured is None else which not in found["weaknesses"])
        for which, (test, measured, limit) in due.items()
    ]


def _is_next(site: str, to: str) -> bool:
    """Whether a site is that of the layer next to another's."""
    layers = [re.search(r"\.(\d+)", one) for one in (site, to)]
    first, second = (int(found[1]) if found else None for found in layers)
    return first is not None and second is not None and abs(first - second) == 1
