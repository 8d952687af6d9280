"""The strongest of what an instrument measured, as rows for a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...tools import Measurement
from ..report._limits import Limit
from ..report._patching_words import subspace_limits, swept_cells
from ..report._scoring_words import SCORERS, link_name, observable_name, scored_name
from ..report._tables import leaves, number
from ..report._task_words import SETS, card_limits, passed

LONGEST_CELL = 60  # characters
FEW = 3  # entries of a list in a cell
MOST_COLUMNS = 5

Row = tuple[Any, ...]


class Strongest(NamedTuple):
    """Rows, the strongest first where there is a strength."""

    what: str
    head: tuple[str, ...]
    rows: list[Row]


def strongest_of(m: Measurement) -> Strongest:
    """What of a measurement to list first."""
    return _BY_TOOL.get(m.tool, _of_list)(m)


def _sweep(m: Measurement) -> Strongest:
    cells = sorted(swept_cells(m), key=lambda cell: -abs(cell.effect))
    return Strongest("places", ("site", "token", "effect"), [(c.site, c.token, c.effect) for c in cells])


def _patch(m: Measurement) -> Strongest:
    cells = sorted(m.result["cells"], key=lambda cell: -abs(cell["effect"]))
    rows = [(c["site"], c["position"], c["effect"], c["moved"], max(c["random_effects"], default=None)) for c in cells]
    return Strongest("places", ("site", "position", "effect", "answers moved", "largest random"), rows)


def _paths(m: Measurement) -> Strongest:
    cells = sorted(m.result["cells"], key=lambda cell: -abs(cell["effect"]))
    return Strongest("links", ("link", "effect"), [(link_name(cell), cell["effect"]) for cell in cells])


def _scores(m: Measurement) -> Strongest:
    rows = [
        (
            scored_name(one),
            one["score"],
            next(family["measured"] for family in one["families"] if family["family"] == one["family"]),
            one["family"],
        )
        for one in m.result["scored"]
    ]
    return Strongest("scores", ("link or part", "score", "effect when cut", "family"), rows)


def _search(m: Measurement) -> Strongest:
    rows = [
        (f"{one['source']} → {one['slot']}", one["score"], one["family"], ", ".join(one["without"]), one["in_circuit"])
        for one in m.result["links"]
    ]
    return Strongest("links", ("link", "effect", "family", "with taken out", "in circuit"), rows)


def _decomposition(m: Measurement) -> Strongest:
    rows = sorted(m.result["relevances"], key=lambda row: -abs(row["share"]))
    head = ("source", "tokens", "share", "relevance")
    return Strongest("sources", head, [(r["source"], r["position"], r["share"], r["relevance"]) for r in rows])


def _observables(m: Measurement) -> Strongest:
    rows = [
        (observable_name(m, at), one["site"], one["length"], one["slope_on_model"], one["autograd_error"])
        for at, one in enumerate(m.result["vectors"])
    ]
    return Strongest("observables", ("question", "listens at", "length", "model's slope", "error"), rows)


def _subspaces(m: Measurement) -> Strongest:
    rows = [
        (cell["position"], *_limit(one))
        for cell in m.result["cells"]
        for one in subspace_limits(cell, m.result["rule"])
    ]
    return Strongest("tests", ("position", "test", "measured", "due", "outcome"), rows)


def _card(m: Measurement) -> Strongest:
    return Strongest("tests", ("test", "measured", "due", "outcome"), [_limit(one) for one in card_limits(m)])


def _limit(one: Limit) -> Row:
    return one.test, one.measured, one.due, one.said


def _ablations(m: Measurement) -> Strongest:
    rows = [
        (which, dose["n_units"], dose["target"], dose["other"], dose["selectivity"], _interval(dose), passed(dose))
        for which in SETS
        for dose in m.result[which]["doses"]
    ]
    return Strongest("doses", ("task", "units", "own loss", "other loss", "selectivity", "interval", "passed"), rows)


def _interval(dose: Mapping[str, Any]) -> str:
    return f"{number(dose['low'])} to {number(dose['high'])}"


def _answers(m: Measurement) -> Strongest:
    rows = [(one["prompt"], one["top"], one["probability"], one["rank"]) for one in m.result["answers"]]
    return Strongest("prompts", ("prompt", "most likely", "of the answer", "its rank"), rows)


def _lens(m: Measurement) -> Strongest:
    """The last layers of the first prompt first: they are nearest to what the model answers."""
    rows = [(layer["site"], layer["top"]) for layer in reversed(m.result["prompts"][0]["layers"])]
    return Strongest("layers", ("first prompt, after", "most likely"), rows)


def _steered(m: Measurement) -> Strongest:
    rows = [
        (
            point["strength"],
            point["effect"],
            sum(point["answered"]) / len(point["answered"]),
            max(point["random_effects"], default=None),
            point["perplexity_ratio"],
        )
        for point in m.result["points"]
    ]
    head = ("strength", "effect", "answered", "largest random", "perplexity ratio")
    return Strongest("strengths", head, rows)


def _graph(m: Measurement) -> Strongest:
    label = {node["id"]: node["label"] for node in m.result["nodes"]}
    links = sorted(m.result["links"], key=lambda link: -abs(link["weight"]))
    rows = [(label[link["source"]], label[link["target"]], link["weight"]) for link in links]
    return Strongest("links", ("from", "to", "weight"), rows)


def _of_list(m: Measurement) -> Strongest:
    """A list of objects: the one that is known to matter, or else the longest; a result without one by its values."""
    found = {
        name: some for name, some in m.result.items() if isinstance(some, list) and some and isinstance(some[0], dict)
    }
    if not found:
        return Strongest("values", ("path", "value"), [(path, value) for path, value in leaves(m.result)])
    longest = max(found, key=lambda name: len(found[name]))
    what, columns, by = _LISTS.get(m.tool, (longest, (), ""))
    entries: Sequence[Mapping[str, Any]] = m.result[what]
    if by:
        entries = sorted(entries, key=lambda entry: -abs(entry[by]))
    shown = columns or _plain_columns(entries)
    head = tuple(column.replace("_", " ") for column in shown)
    return Strongest(what.replace("_", " "), head, [tuple(entry[column] for column in shown) for entry in entries])


def _plain_columns(entries: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    plain = [name for name in entries[0] if not any(_is_nested(entry[name]) for entry in entries)]
    return tuple(plain[:MOST_COLUMNS])


def _is_nested(value: Any) -> bool:
    """Whether a value has objects in it, or lists deeper than pairs of plain values."""
    if isinstance(value, dict):
        return True
    return isinstance(value, list) and any(
        isinstance(part, dict) or (isinstance(part, list) and any(isinstance(deep, list | dict) for deep in part))
        for part in value
    )


def cell_text(value: Any) -> str:
    """A value as a terminal's table shows it: numbers in four digits, of a list the first entries."""
    if isinstance(value, list | tuple):
        shown = ", ".join(_joined(value))
        return shown + (", …" if len(value) > FEW else "") if value else "–"
    if isinstance(value, str):
        return value if len(value) <= LONGEST_CELL else value[: LONGEST_CELL - 1] + "…"
    return number(value)


def _joined(values: Sequence[Any]) -> Iterator[str]:
    for value in values[:FEW]:
        yield " ".join(map(cell_text, value)) if isinstance(value, list | tuple) else cell_text(value)


# Per instrument a list of its result, columns of it, and the column that tells strength; none where it is in order.
_LISTS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "attention_patterns": ("heads", ("head", "to_previous", "to_first", "to_same_token", "entropy"), "to_previous"),
    "describe_feature": ("contexts", ("text", "peak_activation"), ""),
    "feature_activations": ("features", ("layer", "feature", "peak", "peak_token"), "peak"),
    "feature_signatures": ("features", ("layer", "feature", "n_active", "peak"), "peak"),
    "intervene_features": ("tokens", ("token", "clean_probability", "changed_probability", "moved"), "moved"),
    "make_probes": ("probes", ("text", "concept", "held_out"), ""),
    "probe_prompts": ("features", ("layer", "feature", "group", "name", "reason"), ""),
    "select_features": ("features", ("id", "influence_share", "positions"), "influence_share"),
    "substitutions": ("substitutions", ("word", "replacement", "answer", "answer_probability", "keeps"), ""),
}
_BY_TOOL: dict[str, Callable[[Measurement], Strongest]] = {
    **dict.fromkeys(SCORERS, _scores),
    "ablate_neurons": _ablations,
    "attribution_graph": _graph,
    "circuit_search": _search,
    "contextual_decomposition": _decomposition,
    "logit_lens": _lens,
    "next_token": _answers,
    "observable": _observables,
    "patch": _patch,
    "patch_sweep": _sweep,
    "path_patch": _paths,
    "steer": _steered,
    "steering_card": _card,
    "subspace_patch": _subspaces,
}
