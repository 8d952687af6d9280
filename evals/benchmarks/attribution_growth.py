"""How the cost of an exact attribution graph grows with nodes, positions, layers and dictionary features.

From one base case one number at a time is multiplied, all others stay: features per token (k of TopK; with the error
node k + 1 nodes stand at each place, and that doubles), tokens, layers, and features in the dictionary at equal k. More
tokens or layers also mean more nodes, as they do in use. Weights are random. Time is the process' processor seconds on
one thread, from the prompt to all links; the points take turns, every other round backwards, so that a drift of the
machine hits all alike. An exponent holds over the range that was measured: cost is a sum of powers, and the largest one
shows only at the end.

`python -m vesalius.evals.benchmarks.attribution_growth OUT_FOLDER` writes the picture and the table.
It takes about two minutes of one core, 2 GB of memory and, while it runs, 1.3 GB of temporary files.
"""

import datetime
import gc
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from ...agent.runs import write_whole
from ...tools import (
    Dictionary,
    Graph,
    LocalModel,
    Progress,
    Sources,
    Subject,
    answer_vectors,
    build_graph,
    count_products,
    dictionary_of,
    load_subject,
    local_model,
    logit_targets,
    most_likely,
    one_thread,
    silent,
)
from ..metric import Metric
from ._attribution_cases import AttributionCase, Shape, write_case
from ._growth_plot import Fit, Panel, fit_power, growth_picture, markdown_table
from ._process_cost import machine, timed
from ._results_folder import results_folder, told

MOST_LOGITS, PROBABILITY = 10, 0.95
ROUNDS = 7  # timed, after one that is not
TITLE = "What an exact attribution graph costs (processor seconds, one thread)"
COMMAND = "python -m vesalius.evals.benchmarks.attribution_growth OUT_FOLDER"
EXPONENTS = ("grows", "exponent", "low", "high", "last step alone", "of the links alone", "of multiplications counted")
SIZES = ("grows", "to", "nodes", "links held / square", "multiplications", "s to model", "s of links", "s in all")
T = TypeVar("T")


@dataclass(frozen=True)
class Axis:
    """One number of the base case, and what it becomes."""

    field: str
    values: tuple[int, ...]
    name: str
    unit: str


BASE = Shape("base", layers=6, d_model=256, heads=4, kv_heads=2, n_features=2048, n_tokens=32, k=15)
AXES = {
    "nodes": Axis("k", (7, 15, 31, 63), "Nodes, through k of TopK", "nodes of the graph"),
    "positions": Axis("n_tokens", (16, 32, 64, 128), "Positions", "tokens of the prompt"),
    "layers": Axis("layers", (3, 6, 12, 24), "Layers", "layers of the model"),
    "features": Axis("n_features", (512, 2048, 8192, 32768), "Dictionary features, at equal k", "features per layer"),
}


@dataclass(frozen=True)
class Run:
    """One graph made, and its size; processor seconds unless it says wall."""

    model_s: float  # from the prompt to the local replacement model
    links_s: float  # from there to all links
    wall_s: float
    n_nodes: int
    n_stored: int  # links held, zeros among them
    products: int  # multiplications that the plan counts for the links

    @property
    def cpu_s(self) -> float:
        """From the prompt to all links."""
        return self.model_s + self.links_s

    @property
    def stored_share(self) -> float:
        """Links held, over the dense square between all nodes (share)."""
        return self.n_stored / self.n_nodes**2


@dataclass(frozen=True)
class Point:
    """One size with its timed runs, one for each round."""

    shape: Shape
    runs: tuple[Run, ...]

    def each(self, field: str) -> list[float | int]:
        """A figure of every run."""
        return [getattr(run, field) for run in self.runs]

    def median(self, field: str = "cpu_s") -> float | int:
        """A figure's median over the rounds."""
        return statistics.median(self.each(field))


@dataclass(frozen=True)
class Growth:
    """The points along one axis, smallest first."""

    axis: Axis
    points: tuple[Point, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """What grew: of `k` the nodes that it makes (count)."""
        through_k = self.axis.field == "k"
        return tuple(p.runs[0].n_nodes if through_k else getattr(p.shape, self.axis.field) for p in self.points)


@dataclass(frozen=True)
class Results:
    """All axes, measured together from one base case."""

    base: Shape
    seed: int
    along: dict[str, Growth]


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Every axis; `seed` draws weights, dictionaries, prompts and the bootstrap."""
    return metrics(grow(BASE, AXES, ROUNDS, seed, progress))


def metrics(results: Results) -> dict[str, Metric]:
    """The exponents, each over `n` timed runs, and the largest share of the dense square that any point held."""
    found: dict[str, Metric] = {}
    for name, growth in results.along.items():
        fit, n = fitted(growth, results.seed), sum(len(point.runs) for point in growth.points)
        found[f"exponent_{name}"] = Metric(value=fit.exponent, low=fit.low, high=fit.high, n=n, target="", met=None)
    points = {point for growth in results.along.values() for point in growth.points}
    share = max(point.runs[0].stored_share for point in points)
    return found | {"peak_links_share": Metric(value=share, low=None, high=None, n=len(points), target="", met=None)}


def grow(base: Shape, axes: Mapping[str, Axis], rounds: int, seed: int, progress: Progress = silent) -> Results:
    """Measure all axes together; a size that several of them share is measured once."""
    along = {name: [shaped(base, axis, value) for value in axis.values] for name, axis in axes.items()}
    shapes = list(dict.fromkeys(shape for some in along.values() for shape in some))
    total = len(shapes) + rounds + 1
    with tempfile.TemporaryDirectory() as folder, one_thread():
        calls: list[Callable[[], Run]] = []
        for done, shape in enumerate(shapes):
            progress(done, total, f"random model {shape.name}")
            calls.append(_prepared(shape, Path(folder), seed))
        gc.freeze()  # all that stands by now is no rubbish; to look through it takes longer than most runs
        try:
            runs = in_turns(calls, rounds, lambda done: progress(len(shapes) + done, total, "every size once"))
        finally:
            gc.unfreeze()
    progress(total, total, "done")
    points = {shape: Point(shape, tuple(some)) for shape, some in zip(shapes, runs, strict=True)}
    grown = {name: Growth(axes[name], tuple(points[shape] for shape in some)) for name, some in along.items()}
    return Results(base, seed, grown)


def shaped(base: Shape, axis: Axis, value: int) -> Shape:
    """The base case with one number changed."""
    made = replace(base, **{axis.field: value})
    return replace(made, name=f"{made.layers}x{made.d_model}-F{made.n_features}-n{made.n_tokens}-k{made.k}")


def in_turns(
    calls: Sequence[Callable[[], T]], rounds: int, on_round: Callable[[int], None] = lambda done: None
) -> list[list[T]]:
    """What each call gave, once a round; the first round warms up and is thrown away."""
    given: list[list[T]] = [[] for _ in calls]
    for done in range(rounds + 1):
        on_round(done)
        order = range(len(calls))
        for i in order if done % 2 else reversed(order):
            given[i].append(calls[i]())
    return [some[1:] for some in given]


def _prepared(shape: Shape, folder: Path, seed: int) -> Callable[[], Run]:
    """A case written and loaded, ready to be run again and again."""
    files = write_case(AttributionCase(shape.name, shape), folder, seed)
    subject = load_subject(str(files.model), device="cpu")
    dictionary = dictionary_of(subject, str(files.dictionary), force=True)
    return lambda: _run(subject, dictionary, files.prompt)


def _run(subject: Subject, dictionary: Dictionary, prompt: str) -> Run:
    """One whole graph; counting its size is not timed."""
    local, model = timed(lambda: local_model(subject, dictionary, prompt))
    graph, links = timed(lambda: _graph(local))
    stored = sum(block.values.numel() for block in graph.links.blocks)
    products = count_products(local, Sources(local), graph.targets)
    wall_s, n_nodes = model.wall_s + links.wall_s, int(graph.present.sum())
    return Run(model.cpu_s, links.cpu_s, wall_s, n_nodes, stored, products)


def _graph(local: LocalModel) -> Graph:
    answer = most_likely(local.probabilities, PROBABILITY, MOST_LOGITS)
    targets = logit_targets(local, answer_vectors(local, answer, None))
    return build_graph(local, targets, local.probabilities[answer], local.n_active)


def fitted(growth: Growth, seed: int, field: str = "cpu_s") -> Fit:
    """The power of the size that fits a figure's medians best."""
    return fit_power(growth.sizes, [point.each(field) for point in growth.points], seed)


def last_step(growth: Growth) -> float:
    """The exponent between the two largest sizes alone: above the fitted one where growth still gathers speed."""
    before, after = (point.median() for point in growth.points[-2:])
    return math.log(after / before) / math.log(growth.sizes[-1] / growth.sizes[-2])


def draw(results: Results, path: Path) -> None:
    """Write the picture, an SVG file that stands by itself."""
    panels = [
        Panel(
            name=growth.axis.name,
            axis=growth.axis.unit,
            sizes=growth.sizes,
            whole=tuple(point.median() for point in growth.points),
            links=tuple(point.median("links_s") for point in growth.points),
            fit=fitted(growth, results.seed),
            last=last_step(growth),
        )
        for growth in results.along.values()
    ]
    write_whole(path, f"{growth_picture(panels, TITLE)}\n")


def table(results: Results) -> str:
    """The figures in Markdown, with the machine and the day they are from."""
    base, growths = results.base, results.along.items()
    points = [point for _, growth in growths for point in growth.points]
    wall = sum(sum(point.each("wall_s")) for point in points) / sum(sum(point.each("cpu_s")) for point in points)
    exponents, sizes = [], []
    for name, growth in growths:
        fit, alone, counted = (fitted(growth, results.seed, of) for of in ("cpu_s", "links_s", "products"))
        figures = (fit.exponent, fit.low, fit.high, last_step(growth), alone.exponent, counted.exponent)
        exponents.append((name, *(f"{figure:.2f}" for figure in figures)))
        for point in growth.points:
            one, size = point.runs[0], f"{growth.axis.field} {getattr(point.shape, growth.axis.field)}"
            seconds = (f"{point.median(of):.3f}" for of in ("model_s", "links_s", "cpu_s"))
            sizes.append((name, size, f"{one.n_nodes}", f"{one.stored_share:.3f}", f"{one.products:.2e}", *seconds))
    return f"""# {TITLE}

Measured {datetime.date.today()} on {machine()}, one thread, torch {torch.__version__}, by `{COMMAND}`;
wall time was {wall:.1f} times processor time (above 1: other work had its share).

Base: {base.layers} layers, d {base.d_model}, {base.n_tokens} tokens, {base.n_features} features per layer of which \
{base.k} are active per token; random weights. Medians of {len(points[0].runs)} runs a size.

{markdown_table(EXPONENTS, exponents)}
{markdown_table(SIZES, sizes)}"""


def main(argv: list[str] | None = None) -> None:
    """Measure, and write the picture and the table into a folder."""
    folder = results_folder(COMMAND, __doc__, argv)
    results = grow(BASE, AXES, ROUNDS, 0, told)
    draw(results, folder / "attribution_growth.svg")
    write_whole(folder / "attribution_growth.md", table(results))


if __name__ == "__main__":
    main()
