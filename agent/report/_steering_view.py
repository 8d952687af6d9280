"""A card of steering on the page: effect by strength beside simpler ways to it, every arm, and the limits it keeps."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._limits import limits_table
from ._line_plot import Level, Series, line_plot
from ._svg import element
from ._tables import Cell, table
from ._task_words import card_limits
from .plots import DotRow, effects_plot

MOST_LEVELS = 2  # texts in the curve; every one is among the arms
NATS = "effect (nats; shaded: too small to matter)"


def card_view(m: Measurement) -> Markup:
    """Verdict, curves, arms and limits."""
    limits = card_limits(m)
    n_broken = len(m.result["weaknesses"])
    sign, word, class_ = ("✗", "fragile", "refuted") if n_broken else ("✓", "sound", "supported")
    count = f" {n_broken} of {len(limits)} limits are broken." if n_broken else " No limit of the rule is broken."
    head = element("p", element("span", f"{sign} {word}", class_=f"badge {class_}"), count)
    caption = (
        "Controls are those at the judged strength, ×1. Random directions are as long, the neighbouring feature is "
        "pushed as far, and the texts in front of the prompt steer nothing."
    )
    curves = element("figure", element("div", *_curves(m), class_="beside"), element("figcaption", caption))
    tests = limits_table(limits, f"What the effect may hang on ({m.id})")
    return head + curves + element("div", element("figure", _arms(m)), tests, class_="evidence") + _off_target(m)


def _points(m: Measurement) -> list[tuple[float, float, float]]:
    """Multiple, effect and perplexity ratio, the judged strength among them."""
    found = m.result
    points = {
        float(arm["name"]): (arm["effect"], ratio)
        for arm, ratio in zip(found["strengths"], found["strength_ratios"], strict=True)
    }
    points.setdefault(1.0, (found["effect"], found["perplexity_ratio"]))
    return [(multiple, *points[multiple]) for multiple in sorted(points)]


def _curves(m: Measurement) -> tuple[Markup, Markup]:
    found, points = m.result, _points(m)
    places = [f"×{multiple:g}" for multiple, *_ in points]
    random: Sequence[float] = found["random_effects"]
    texts = sorted(found["prompting"], key=lambda arm: -arm["effect"])[:MOST_LEVELS]
    near = max(found["neighbours"], key=lambda arm: arm["effect"])
    levels = [
        Level(f"{len(random)} random directions, least to most", max(random), min(random)),
        Level(f"neighbour {near['feature']}, cosine {near['cosine']:.2f}", near["effect"]),
        *(Level(f"text alone: {arm['name']}", arm["effect"]) for arm in texts),
    ]
    left = line_plot(
        places,
        [Series("along the direction", tuple(effect for _, effect, _ in points))],
        f"Effect by strength ({m.id})",
        "effect (nats), by multiple of the strength",
        include=(0.0,),
        levels=levels,
    )
    right = line_plot(
        places,
        [Series("along the direction", tuple(ratio for *_, ratio in points))],
        f"Harm by strength ({m.id})",
        "perplexity of neutral text, steered over clean",
        include=(1.0,),
        levels=[Level("limit of the rule", found["rule"]["perplexity_ratio"])],
    )
    return left, right


def _arms(m: Measurement) -> Markup:
    found = m.result
    rows = [DotRow(f"judged: {found['site']}, every prompt", "confirm", tuple(found["effects"]))]
    rows += _rows("wording", "confirm", found["contexts"])
    rows += _rows("layer", "confirm", found["layers"])
    rows += _rows("neighbour", "twin", [arm | {"name": arm["feature"]} for arm in found["neighbours"]])
    rows += _rows("text alone", "shuffled", found["prompting"])
    rows.append(DotRow(f"{len(found['random_effects'])} random directions", "random", tuple(found["random_effects"])))
    return effects_plot(rows, found["rule"]["smallest_effect"], f"Every arm ({m.id})", NATS, include=(0.0,))


def _rows(what: str, kind: Any, arms: Sequence[Mapping[str, Any]]) -> list[DotRow]:
    return [DotRow(f"{what}: {arm['name']}", kind, (arm["effect"],)) for arm in arms]


def _off_target(m: Measurement) -> Markup:
    found = m.result
    rows: list[tuple[Cell, ...]] = [("steering", found["off_target"]["lost"], found["off_target"]["kl"])]
    rows += [
        (f"text alone: {arm['name']}", harm["lost"], harm["kl"])
        for arm, harm in zip(found["prompting"], found["prompting_off_target"], strict=True)
    ]
    random: Sequence[float] = found["random_off_target"]
    rows.append((f"largest of {len(random)} random directions", None, max(random)))
    caption = f"{found['n_off_target']} prompts about something else, which the model answers right by itself"
    return table(("changed by", "answers lost (share)", "KL divergence (nats)"), rows, caption)
