"""How each instrument's result is shown. One function per tool; a tool without one gets a table of its numbers."""

import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from ...tools import Measurement
from ._ablation_view import ablation_view
from ._attention_view import attention_view
from ._causal_headlines import CAUSAL_HEADLINES
from ._feature_views import probe_prompts_view, select_features_view
from ._graph_view import graph_view
from ._heat_map import heat_map
from ._line_plot import Series, line_plot
from ._observable_view import observable_view
from ._score_view import contextual_view, paths_view, scores_view
from ._scoring_words import SCORERS
from ._steering_view import card_view
from ._subspace_view import subspace_view
from ._svg import element
from ._sweep_view import sweep_view
from ._tables import Cell, leaves, quoted, table
from .figures import render_html
from .plots import DotRow, effects_plot

View = Callable[[Measurement], Markup]

FEWEST_FOR_A_MAP = 3
MOST_WORDS = 25  # of a scan over words
_FORCED = element(
    "p",
    "The dictionary behind this was forced: it was not, or is not known to be, trained on these weights, so its "
    "features may mean something else here.",
    class_="warning",
)
_VIEWS: dict[str, View] = {
    **dict.fromkeys(SCORERS, scores_view),
    "ablate_neurons": ablation_view,
    "attention_patterns": attention_view,
    "attribution_graph": graph_view,
    "contextual_decomposition": contextual_view,
    "observable": observable_view,
    "patch_sweep": sweep_view,
    "path_patch": paths_view,
    "probe_prompts": probe_prompts_view,
    "select_features": select_features_view,
    "steering_card": card_view,
    "subspace_patch": subspace_view,
}


def shows(tool: str) -> Callable[[View], View]:
    """Register the view of a tool."""

    def register(view: View) -> View:
        _VIEWS[tool] = view
        return view

    return register


def view(measurement: Measurement) -> Markup:
    """A measurement's result as a picture with its numbers, or as a table of its numbers."""
    shown = _told(measurement) + _VIEWS.get(measurement.tool, numbers)(measurement)
    return _FORCED + shown if measurement.result.get("dictionary_forced") else shown


def _told(m: Measurement) -> Markup:
    """What a causal instrument found, in its sentence, in front of the pictures."""
    write = CAUSAL_HEADLINES.get(m.tool)
    return element("p", render_html(write(m), {m.id: m})) if write else Markup("")


def numbers(measurement: Measurement) -> Markup:
    """Every leaf of a result by its path: what any tool can be shown as."""
    rows = [(path, value) for path, value in leaves(measurement.result)]
    return table(("path", "value"), rows, f"Result of {measurement.tool}")


_MOVED = {
    "ablate": ("answers lost", "nats"),
    "answer_contrast": ("leans to one here and the other there", "of both answers' share"),
    "feature_contrast": ("fires with the word alone", "of activation"),
}


@shows("patch")
@shows("answer_contrast")
@shows("feature_contrast")
@shows("supernode_effect")
def _patch(m: Measurement) -> Markup:
    cells: list[dict[str, Any]] = m.result["cells"]
    shown = _map(cells, m) if len(cells) >= FEWEST_FOR_A_MAP else _rows(cells, m)
    rows: list[tuple[Cell, ...]] = [
        (
            c.get("site", c.get("feature", "")),
            c.get("position", ""),
            c["effect"],
            c["moved"],
            len(c["effects"]),
            max(c["random_effects"], default=None),
        )
        for c in cells
    ]
    moved, unit = _MOVED.get(m.args.get("mode") or m.tool, ("answers moved", "nats"))
    effect = "effect (share of the gap)"
    head = ("site", "position", effect, f"{moved} (share)", "pairs (count)", "largest random control (share)")
    note = f"Gap {m.result['gap']:.3g} {unit}; largest change by the no-op {m.result['no_op_change']:g}"
    return shown + table(head, rows, note)


@shows("trigger_scan")
def _triggers(m: Measurement) -> Markup:
    rows: list[tuple[Cell, ...]] = [
        (c["site"], c["position"], c["payload"], c["moved"], c["effect"]) for c in m.result["cells"]
    ]
    head = ("word", "put", "answer", "prompts turned to it (share)", "effect (share)")
    return table(head, rows, f"Words that turn most prompts, of {m.result['n_tried']} tried", most=MOST_WORDS)


def _rows(cells: list[dict[str, Any]], m: Measurement) -> Markup:
    rows: list[DotRow] = []
    for cell in cells:
        rows.append(DotRow(_named(cell), "confirm", tuple(cell["effects"])))
        if cell["random_effects"]:
            rows.append(DotRow("random controls", "random", tuple(cell["random_effects"])))
    return effects_plot(rows, 0.0, f"Effects of {m.id}")


def _named(cell: dict[str, Any]) -> str:
    site, position = cell.get("site", f"feature {cell.get('feature', '')}"), cell.get("position", "")
    return f"{site}{' ' if position.startswith('where') else ' at ' if position else ''}{position}"


def _map(cells: list[dict[str, Any]], m: Measurement) -> Markup:
    places = [_place(cell["site"], cell["position"], _one_position(cells)) for cell in cells]
    known = [place for place in places if place]
    if len(known) < len(cells):  # sites patched together have no layer
        return _rows(cells, m)
    depths = sorted({depth for depth, _ in known})
    columns = list(dict.fromkeys(column for _, column in known))
    values = {
        (depths.index(depth), columns.index(column)): float(cell["effect"])
        for (depth, column), cell in zip(known, cells, strict=True)
    }
    names = ["input" if depth < 0 else f"layer {depth}" for depth in depths]
    return heat_map(names, columns, values, f"Effect of patching each place ({m.id})")


def _one_position(cells: list[dict[str, Any]]) -> bool:
    return len({cell["position"] for cell in cells}) == 1


def _place(site: str, position: str, one_position: bool) -> tuple[int, str] | None:
    """Layer (-1 for the input) and column of a site; the stream before the first block is the stream's first row."""
    found = re.fullmatch(r"([a-z_]+)(?:\.(\d+))?(?:\.(\d+))?", site)
    if not found:
        return None
    kind, layer, head = found[1], int(found[2] or -1), found[3]
    if kind in ("resid_pre", "resid_post"):
        kind, layer = ("resid", layer) if kind == "resid_post" else ("resid", -1) if layer == 0 else (kind, layer)
    name = f"head {head}" if head else kind
    return layer, name if head and one_position else f"{name} {position}"


@shows("next_token")
def _next_token(m: Measurement) -> Markup:
    rows: list[tuple[Cell, ...]] = []
    for answer in m.result["answers"]:
        best = Markup(", ").join(Markup("{} {:.3g}").format(quoted(t), p) for t, p in answer["top"])
        rows.append((quoted(answer["prompt"]), best, answer["probability"], answer["rank"], answer["logit_difference"]))
    head = ("prompt", "most likely tokens", "probability of the expected answer", "its rank", "logit difference")
    return table(head, rows, "What the model answers")


@shows("logit_lens")
def _logit_lens(m: Measurement) -> Markup:
    prompts: list[dict[str, Any]] = m.result["prompts"]
    sites = [_short(site) for site in m.result["sites"]]
    words = [tracked["word"] for tracked in prompts[0]["layers"][0]["tracked"]]
    shown = Markup("")
    if words:
        lines = [Series(word, _tracked(prompts, k)) for k, word in enumerate(words)]
        unit = "probability" if len(prompts) == 1 else f"probability (mean of {len(prompts)} prompts)"
        shown += line_plot(sites, lines, f"Probability by layer ({m.id})", unit, include=(0.0, 1.0))
    for prompt in prompts[:5]:
        rows: list[tuple[Cell, ...]] = [
            (layer["site"], Markup(", ").join(Markup("{} {:.3g}").format(quoted(t), p) for t, p in layer["top"]))
            for layer in prompt["layers"]
        ]
        shown += table(("site", "most likely tokens"), rows, f"After: {prompt['prompt'][:120]}")
    return shown


def _tracked(prompts: list[dict[str, Any]], word: int) -> tuple[float, ...]:
    """A word's probability at each layer, averaged over the prompts."""
    per_layer = zip(*(p["layers"] for p in prompts), strict=True)
    return tuple(sum(at["tracked"][word]["probability"] for at in layers) / len(prompts) for layers in per_layer)


def _short(site: str) -> str:
    return "input" if site == "resid_pre.0" else site.rsplit(".", 1)[-1]


@shows("steer")
def _steer(m: Measurement) -> Markup:
    points = sorted(m.result["points"], key=lambda point: point["strength"])
    strengths = [f"{point['strength']:g}" for point in points]
    effect = Series("along the direction", tuple(point["effect"] for point in points))
    harm = Series("along the direction", tuple(point["perplexity_ratio"] for point in points))
    rows: list[tuple[Cell, ...]] = [
        (
            p["strength"],
            p["effect"],
            sum(p["answered"]) / len(p["answered"]),
            max(p["random_effects"], default=None),
            p["perplexity_ratio"],
        )
        for p in points
    ]
    head = ("strength", "effect (nats)", "answered", "largest random control", "perplexity ratio")
    left = line_plot(
        strengths,
        [effect],
        f"Effect by strength ({m.id})",
        "effect (nats; dots: random directions)",
        include=(0.0,),
        clouds=[p["random_effects"] for p in points],
    )
    right = line_plot(
        strengths,
        [harm],
        f"Harm by strength ({m.id})",
        "perplexity of neutral text, steered over clean",
        include=(1.0,),
        clouds=[p["random_perplexity_ratios"] for p in points],
    )
    return Markup('<div class="beside">{}{}</div>').format(left, right) + table(head, rows, "Steering")
