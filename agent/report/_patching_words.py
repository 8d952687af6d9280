"""What sweeps, single links and subspaces showed: one sentence each, and the tests that a subspace has to pass.

Every effect stands beside its controls: a no-op, what the model itself does, random directions of the same size.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...tools import Measurement
from ..planners._plain import name, number, say
from ._limits import Limit
from ._sentence import Sentence

NO_EFFECT = "no_effect"
WITH_HEADS = ("head", "q", "k", "v")
SUBSPACE_VERDICTS = {
    "holds": "it passes: the part that the rest of the model can see carries the effect",
    "illusion": "an interpretability illusion: without the part that the rest of the model cannot see, the effect is "
    "not kept",
    "exceeds_component": "it fails: it moves the answer further than the whole component does",
    "not_above_random": "it fails: random directions move the answer as far",
    NO_EFFECT: "there is no effect that matters",
}


class SweptCell(NamedTuple):
    """One place of a sweep."""

    site: str
    token: str  # its position, and what stands there
    effect: float
    path: str  # of the effect in the result
    kind: str
    layer: int
    head: int
    at: int  # place among the positions


def swept_cells(m: Measurement) -> Iterator[SweptCell]:
    """Every place of a sweep, kind by kind."""
    tokens = token_names(m)
    for k, grid in enumerate(m.result["grids"]):
        kind = grid["kind"]
        for layer, heads in enumerate(grid["effect"]):
            for head, row in enumerate(heads):
                site = f"{kind}.{layer}.{head}" if kind in WITH_HEADS else f"{kind}.{layer}"
                for at, effect in enumerate(row):
                    path = f"grids.{k}.effect.{layer}.{head}.{at}"
                    yield SweptCell(site, tokens[at], effect, path, kind, layer, head, at)


def token_names(m: Measurement) -> list[str]:
    """Positions of a sweep with what stands there."""
    found = m.result
    return [f"{place} {token.strip()}" for place, token in zip(found["positions"], found["tokens"], strict=True)]


def on_twin(m: Measurement) -> str:
    """A warning where effects are shares of the gap of weights that learned nothing."""
    if m.subject.reinit_seed is None:
        return ""
    return f"On re-initialised weights, whose gap is {number(m.id, 'gap', '.2g')} nats:"


def patch_sweep_headline(m: Measurement) -> Sentence:
    """The strongest place, and how well the sweep agrees with the model."""
    best = max(swept_cells(m), key=lambda cell: abs(cell.effect))
    return say(
        on_twin(m),
        "Of",
        number(m.id, "n_cells", "d"),
        "places the largest effect is",
        number(m.id, best.path) + f", of {name(best.site)} at token {name(best.token)};",
        _exactness(m, "places"),
    )


def path_patch_headline(m: Measurement) -> Sentence:
    """The strongest link, or what several do together."""
    cells: list[Mapping[str, Any]] = m.result["cells"]
    patched, effect = number(m.id, "patched", "d"), number(m.id, "cells.0.effect")
    if m.args.get("others"):
        named = number(m.id, "cells.0.links.len", "d")
        found = say(f"With all links exchanged but {named} that were named ({patched} of them) the effect is {effect};")
    elif m.args.get("joint"):
        found = say(f"The {patched} links exchanged together have effect {effect};")
    else:
        best = max(range(len(cells)), key=lambda i: abs(cells[i]["effect"]))
        link = name(arrow(cells[best]["links"][0]))
        found = say(
            "Of",
            number(m.id, "cells.len", "d"),
            "links, exchanged one at a time, the largest effect is",
            number(m.id, f"cells.{best}.effect") + f", of {link};",
        )
    return say(on_twin(m), found.text, _exactness(m, "links"))


def arrow(link: str) -> str:
    """A link as it is read."""
    return link.replace("->", " → ")


def _exactness(m: Measurement, unit: str) -> str:
    """What the no-op and the model itself say."""
    return say(
        "controls:",
        number(m.id, "spot_checked", "d"),
        f"{unit} measured again in the model itself differ by",
        number(m.id, "spot_difference", ".1g"),
        "of the gap at most, and the no-op moves",
        number(m.id, "no_op_change", ".1g"),
        "nats.",
    ).text


def subspace_patch_headline(m: Measurement) -> Sentence:
    """The strongest position's parts beside one another, and whether it passed."""
    cells: list[Mapping[str, Any]] = m.result["cells"]
    best = max(range(len(cells)), key=lambda i: abs(cells[i]["subspace"]["effect"]))
    cell, at = cells[best], f"cells.{best}"
    draws, most = strongest_control(cell)
    others = "; ".join(f"at {name(c['position'])}: {SUBSPACE_VERDICTS[c['verdict']]}" for c in cells if c is not cell)
    found = say(
        on_twin(m),
        number(m.id, "dimension", "d"),
        "of",
        number(m.id, "width", "d"),
        f"dimensions of {name(m.result['site'])} at {name(cell['position'])} have effect",
        number(m.id, f"{at}.subspace.effect") + "; the row-space part alone",
        number(m.id, f"{at}.row_part.effect") + ", the null-space part alone",
        number(m.id, f"{at}.null_part.effect") + ", the whole component",
        number(m.id, f"{at}.component.effect") + ", the strongest random control",
        number(m.id, f"{at}.{draws}.{most}") + f": {SUBSPACE_VERDICTS[cell['verdict']]}.",
    )
    return say(found.text, f"Elsewhere, {others}.") if others else found


def strongest_control(cell: Mapping[str, Any]) -> tuple[str, int]:
    """Which random control moves the answer most: its list, and its place there."""
    draws = [(kind, i) for kind in ("random_effects", "random_pushes") for i in range(len(cell[kind]))]
    return max(draws, key=lambda draw: abs(cell[draw[0]][draw[1]]))


def subspace_limits(cell: Mapping[str, Any], rule: Mapping[str, Any]) -> list[Limit]:
    """The tests of the rule, each with what was measured and what was due; they are told by size, signs aside."""
    whole, row, component = (cell[part]["effect"] for part in ("subspace", "row_part", "component"))
    size, sign = abs(whole), 1 if whole > 0 else -1
    draws, most = strongest_control(cell)
    kept = rule["kept_by_row_part"] * size
    ceiling = rule["over_component"] * max(0.0, sign * component) + rule["slack"]
    failed = cell["failed"]
    none = NO_EFFECT in failed

    def outcome(test: str) -> bool | None:
        return None if none else test not in failed

    seen, more, chance = map(outcome, ("needs_disconnected_part", "exceeds_component", "not_above_random"))
    return [
        Limit("there is an effect", size, f"at least {rule['smallest_effect']:g}", not none),
        Limit("its row-space part alone keeps it", sign * row, f"at least {kept:.3g}", seen),
        Limit("it does no more than the whole component", size, f"at most {ceiling:.3g}", more),
        Limit("random controls do less", abs(cell[draws][most]), f"less than {size:.3g}", chance),
    ]
