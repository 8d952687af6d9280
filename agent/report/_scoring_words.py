"""What scores of links and parts, decompositions and observables say: one sentence each, with their checks.

A score is an estimate, so what cutting the strongest really does always stands beside it.
"""

from collections.abc import Mapping
from typing import Any

from ...tools import Measurement
from ..planners._plain import name, number, say, share
from ._patching_words import arrow, on_twin
from ._sentence import Sentence

SCORERS = ("attribution_patch", "eap", "eap_ig", "relp", "secant_patch")  # instruments with one form of result
START = "embed"
BEHIND = f"behind `{START}`, which all that differs passes,"


def scores_headline(m: Measurement) -> Sentence:
    """The largest score, an estimate, what cutting it does, and how well scores agree with cutting."""
    rows: list[Mapping[str, Any]] = m.result["scored"]
    at = next((i for i, one in enumerate(rows) if one["source"] != START or one["slot"]), 0)
    best, unit = rows[at], "links" if rows[at]["slot"] else "parts"
    family = next(i for i, one in enumerate(best["families"]) if one["family"] == best["family"])
    cut = f"scored.{at}.families.{family}.measured"
    measured = "" if best["families"][family]["measured"] is None else f" (cut, its effect is {number(m.id, cut)})"
    return say(
        "Of",
        number(m.id, "n_scored", "d"),
        f"{unit} the largest score",
        BEHIND if at else "",
        "is",
        number(m.id, f"scored.{at}.score") + f", of {name(scored_name(best))}{measured};",
        _agreement(m, unit),
        _completeness(m),
    )


def scored_name(one: Mapping[str, Any]) -> str:
    """A link as it is read, or a part."""
    return f"{one['source']} → {one['slot']}" if one["slot"] else one["source"]


def _agreement(m: Measurement, unit: str) -> str:
    n = m.result["n_measured"]
    if not n:
        return "control: none was cut, so how good the estimates are is not known."
    cut = f"control: of the {number(m.id, 'n_measured', 'd')} strongest {unit} that were cut,"
    if m.result["measured_pearson"] is None:
        return f"{cut} no correlation of scores and effects can be told."
    return f"{cut} scores and effects correlate by {number(m.id, 'measured_pearson')}."


def _completeness(m: Measurement) -> str:
    """How far integrated gradients are from adding up, in the family where that is most."""
    known = [i for i, one in enumerate(m.result["families"]) if one["complete"] is not None]
    if not known:
        return ""
    worst = max(known, key=lambda i: abs(m.result["families"][i]["complete"] - 1))
    added = share(m.id, f"families.{worst}.complete")
    return f"All links of `embed` add up to {added} of the gap, where the whole of it is due."


def contextual_headline(m: Measurement) -> Sentence:
    """The source of most of what was asked about, and whether the split is sound."""
    found = m.result
    rows: list[Mapping[str, Any]] = found["relevances"]
    behind = [i for i, row in enumerate(rows) if row["source"] != START]
    best = max(behind or range(len(rows)), key=lambda i: abs(rows[i]["share"]))
    whole = "the gap" if found["target"] == "logits" else f"what {name(found['target'])} reads"
    searched = f"Searched step by step, the circuit has {number(m.id, 'circuit.len', 'd')} parts."
    return say(
        on_twin(m),
        "Of",
        number(m.id, "relevances.len", "d"),
        "sources the largest",
        BEHIND if 0 < len(behind) < len(rows) else "",
        f"is {name(rows[best]['source'])} (tokens: {name(rows[best]['position'])}) with",
        share(m.id, f"relevances.{best}.share"),
        f"of {whole};",
        _soundness(m),
        searched if found["circuit"] else "",
    )


def _soundness(m: Measurement) -> str:
    rest = "which is what constants give" if m.args.get("constants") == "irrelevant" else "nothing is due"
    return say(
        "controls: nothing gives",
        number(m.id, "nothing_relevance", ".1g"),
        "nats, the whole stream misses",
        number(m.id, "everything_missed", ".1g"),
        f"nats ({rest}), and both parts together miss the model by",
        number(m.id, "split_error", ".1g"),
        "of its largest value.",
    ).text


def observable_headline(m: Measurement) -> Sentence:
    """What the first observable listens to, its checks, and which two are most alike where there are several."""
    one, asked = m.result["vectors"][0], m.args["observables"][0]
    told = [
        f"The question {observable_name(m, 0)} listens at {name(one['site'])}",
        f"(token {name(str(one['position']))})" if one["position"] is not None else "",
        "with",
        number(m.id, "vectors.0.length", ".3g"),
        "nats per unit",
        f"along {name(' '.join(asked['path']))}" if asked["path"] else "directly",
    ]
    return say(" ".join(filter(None, told)) + _checks(m, one), _most_alike(m))


def _checks(m: Measurement, one: Mapping[str, Any]) -> str:
    if one["autograd_error"] is None:
        return "; without a prompt nothing holds it against the model."
    tangent = "nothing is due" if m.args["norms"] == "tangent" else "norms are not taken whole here"
    return say(
        "; controls: automatic differentiation differs by",
        number(m.id, "vectors.0.autograd_error", ".1g"),
        f"of its length ({tangent}), and pushed that way the model itself moves by",
        number(m.id, "vectors.0.slope_on_model", ".3g"),
        "nats per unit, over all paths.",
    ).text


def observable_name(m: Measurement, at: int) -> str:
    """What an observable asks, its words marked as such."""
    asked = m.args["observables"][at]
    if asked["answer"]:
        return f"{name(asked['answer'])} less {name(asked['foil'])}"
    return " with ".join(name(one["token"]) for one in asked["weights"][:3]) + (", …" if asked["weights"][3:] else "")


def _most_alike(m: Measurement) -> str:
    cosine = m.result["cosine"]
    pairs = [(i, j) for i in range(len(cosine)) for j in range(i)]
    if not pairs:
        return ""
    i, j = max(pairs, key=lambda pair: abs(cosine[pair[0]][pair[1]]))
    return say(
        "Of",
        number(m.id, "vectors.len", "d"),
        f"observables the most alike are {observable_name(m, j)} and {observable_name(m, i)}, cosine",
        number(m.id, f"cosine.{i}.{j}") + ".",
    ).text


def link_name(cell: Mapping[str, Any]) -> str:
    """A link of path patching, or how many were exchanged together."""
    links = cell["links"]
    return arrow(links[0]) if len(links) == 1 else f"{arrow(links[0])} and {len(links) - 1} more"
