"""Circuits: which links and nodes methods find in models whose links are known, and how fast the instruments are.

Over every organism: hand-compiled ones, a set drawn from the seed, and models trained with interchange interventions.
`python -m vesalius.evals.benchmarks.circuits FOLDER` also writes the table. Medians and worst cases are over organisms,
with a bootstrap interval; time is the processor's, of one thread. Trained organisms are made once, under
`~/.vesalius/benchmarks` or in the folder that `VESALIUS_HOME` names, and so is the environment of TransformerLens.
"""

import datetime
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import bootstrap

from ...agent.runs import write_whole
from ...agent.settings import read_settings
from ...tools import Progress, ToolError, one_thread
from ..metric import Metric, share_metric, spread_metric
from ..organisms._organism import Organism
from ..organisms.compiled import COMPILED, generated
from ..organisms.interchange import CAUSAL_MODELS, interchange_organisms
from ._circuit_metrics import Verdict
from ._circuit_nodes import CUT, OF_NODES, SWEEP
from ._circuit_trials import EXACT, MAIN_FAST, METHODS, SEARCH, Trial, trial
from ._illusions import illusions
from ._process_cost import machine
from ._results_folder import results_folder, told
from ._tlens import heads_by_positions

COMMAND = "python -m vesalius.evals.benchmarks.circuits FOLDER"
N_GENERATED = 30
N_ORGANISMS = len(COMPILED) + N_GENERATED + len(CAUSAL_MODELS)
FEWEST_ORGANISMS = 40.0
SEED = 0
NODE_METHODS = (*OF_NODES, *METHODS)
MEDIAN_AUROC, WORST_AUROC, MEDIAN_PEARSON, SELF_REPAIR = 0.99, 0.95, 0.995, 1.0
RESAMPLES = 2000
SELF_REPAIRING = "self_repair"  # how the names of organisms that repair themselves begin


@dataclass(frozen=True)
class Measured:
    """Everything that the table is made of."""

    trials: tuple[Trial, ...]
    figures: dict[str, Metric]
    refused: tuple[str, ...] = ()  # why: organisms whose training did not reach its bars, so that their truth is unsure


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Every organism, every method; `seed` draws weights, prompts and the generated circuits."""
    return measure_all(seed, progress).figures


def measure_all(seed: int, progress: Progress) -> Measured:
    """The figures, and each organism's behind them."""
    root = read_settings().home / "benchmarks"
    refused: list[str] = []
    with one_thread():
        trials = tuple(_trials(seed, root, refused, progress))
        figures = summary(trials, seed) | illusions(seed, progress)
    figures["organisms"] = _extreme(float(len(trials)), len(trials) + len(refused), at_least=FEWEST_ORGANISMS)
    return Measured(trials, figures | heads_by_positions(seed, progress), tuple(refused))


def _trials(seed: int, root: Path, refused: list[str], progress: Progress) -> Iterator[Trial]:
    for done, organism in enumerate(_organisms(seed, root, refused, progress)):
        yield trial(organism, seed, lambda _, __, what, done=done: progress(done, N_ORGANISMS, what))


def _organisms(seed: int, root: Path, refused: list[str], progress: Progress) -> Iterator[Organism]:
    for build in COMPILED.values():
        yield build(seed)
    yield from generated(seed, N_GENERATED)
    for name in CAUSAL_MODELS:
        try:
            yield from interchange_organisms(seed, root / "organisms", progress, [name])
        except ToolError as error:
            refused.append(str(error))


def summary(trials: Sequence[Trial], seed: int) -> dict[str, Metric]:
    """Figures over organisms: of `circuit_search` where none is named, and one of the fast scores."""
    search = _verdicts(trials, SEARCH)
    aurocs = [one.auroc for one in search]
    fast = [one.pearson for one in _verdicts(trials, MAIN_FAST) if one.pearson is not None]
    repairing = [one for one in trials if one.name.startswith(SELF_REPAIRING)]
    found = round(sum(one.verdicts[SEARCH].recall * one.n_true for one in repairing))
    figures = {
        "edge_auroc_median": median(aurocs, seed, at_least=MEDIAN_AUROC),
        "edge_auroc_worst": _extreme(min(aurocs), len(aurocs), at_least=WORST_AUROC),
        "fast_score_pearson_median": median(fast, seed, at_least=MEDIAN_PEARSON),
        "selfrepair_recall": share_metric(found, sum(one.n_true for one in repairing), at_least=SELF_REPAIR),
        "false_edges_at_5pct": _mean([float(one.false) for one in search]),
        "recall_at_5pct": _mean([one.recall for one in search]),
    }
    for name in ("cmd", "cpr", "jaccard"):
        figures[f"{name}_median"] = median([one.searched[name] for one in trials], seed)
    complements = [max(map(abs, one.searched["complement"])) for one in trials]
    figures["complement_faithfulness_median"] = median(complements, seed)
    figures["complement_faithfulness_worst"] = _extreme(max(complements), len(complements))
    for method in METHODS:
        figures |= _of_method(method, _verdicts(trials, method), seed)
    return figures | _of_nodes(trials, seed)


def _of_nodes(trials: Sequence[Trial], seed: int) -> dict[str, Metric]:
    """Figures over the organisms in which some heads and MLPs are true and others are not."""
    told_apart = [one.nodes.verdicts for one in trials if one.nodes.verdicts]
    figures = {"nodes.organisms": _extreme(float(len(told_apart)), len(trials))}
    for method in NODE_METHODS:
        if said := [one[method] for one in told_apart if method in one]:
            figures |= _of_method(f"nodes.{method}", said, seed)
    return figures


def _of_method(method: str, verdicts: Sequence[Verdict], seed: int) -> dict[str, Metric]:
    aurocs = [one.auroc for one in verdicts]
    figures = {
        f"{method}.auroc_median": median(aurocs, seed),
        f"{method}.auroc_worst": _extreme(min(aurocs), len(aurocs)),
        f"{method}.precision_median": median([one.precision for one in verdicts], seed),
        f"{method}.recall_at_5pct": _mean([one.recall for one in verdicts]),
        f"{method}.false_at_5pct": _mean([float(one.false) for one in verdicts]),
        f"{method}.cpu_s": median([one.cpu_s for one in verdicts], seed),
    }
    if pearsons := [one.pearson for one in verdicts if one.pearson is not None]:
        figures[f"{method}.pearson_median"] = median(pearsons, seed)
        figures[f"{method}.pearson_worst"] = _extreme(min(pearsons), len(pearsons))
    return figures


def _verdicts(trials: Sequence[Trial], method: str) -> list[Verdict]:
    return [one.verdicts[method] for one in trials]


def median(values: Sequence[float], seed: int, at_least: float | None = None) -> Metric:
    """The middle one, with the interval of medians of resampled organisms (percentiles; Efron 1979)."""
    value, low, high = statistics.median(values), min(values), max(values)
    if low < high:
        rng = np.random.default_rng(seed)
        made = bootstrap((values,), np.median, n_resamples=RESAMPLES, method="percentile", rng=rng)
        low, high = map(float, made.confidence_interval)
    return Metric(
        value=value,
        low=low,
        high=high,
        n=len(values),
        least=min(values),
        most=max(values),
        target="" if at_least is None else f"≥ {at_least:g}",
        met=None if at_least is None else value >= at_least,
    )


def _mean(values: Sequence[float]) -> Metric:
    return spread_metric(statistics.mean(values), values, "", None)


def _extreme(value: float, n: int, at_least: float | None = None) -> Metric:
    if at_least is None:
        return Metric(value=value, low=None, high=None, n=n, target="", met=None)
    return Metric(value=value, low=None, high=None, n=n, target=f"≥ {at_least:g}", met=value >= at_least)


def table(measured: Measured) -> str:
    """The figures with the machine and the day they are from, then every organism."""
    lines = [
        f"Measured {datetime.date.today().isoformat()} on {machine()}, torch {torch.__version__}, by",
        f"`{COMMAND}`.",
        "",
        "| figure | value | interval | single ones | n | target | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in measured.figures.items():
        interval = "" if one.low is None else f"{one.low:.3g}–{one.high:.3g}"
        single = "" if one.least is None else f"{one.least:.3g}–{one.most:.3g}"
        met = {True: "yes", False: "no", None: ""}[one.met]
        lines.append(f"| {name} | {one.value:.4g} | {interval} | {single} | {one.n} | {one.target} | {met} |")
    lines += [*_link_rows(measured.trials), *_node_rows(measured.trials)]
    for what, why in (
        ("Organisms refused, because training did not reach its bars:", measured.refused),
        ("Nodes that a method refused to score:", _refusals(measured.trials)),
    ):
        if why:
            lines += ["", what, "", *(f"- {one}" for one in why)]
    return "\n".join(lines) + "\n"


def _link_rows(trials: Sequence[Trial]) -> Iterator[str]:
    yield from (
        "",
        "Area under the curve by organism; then recall and false links of `circuit_search` at 5 % of the gap, and the",
        f"correlation of `{MAIN_FAST}` with the effects that `{EXACT}` measures.",
        "",
        f"| organism | kind | links | true | {' | '.join(METHODS)} | recall | false | pearson |",
        f"| --- | --- | --- | --- | {' | '.join('---' for _ in METHODS)} | --- | --- | --- |",
    )
    for one in trials:
        aurocs = " | ".join(f"{one.verdicts[method].auroc:.3f}" for method in METHODS)
        last, pearson = one.verdicts[SEARCH], one.verdicts[MAIN_FAST].pearson
        yield (
            f"| {one.name} | {one.kind} | {one.n_links} | {one.n_true} | {aurocs} | {last.recall:.2f} | {last.false} | "
            f"{'' if pearson is None else f'{pearson:.4f}'} |"
        )


def _node_rows(trials: Sequence[Trial]) -> Iterator[str]:
    yield from (
        "",
        "Area under the curve over nodes (heads and MLPs) by organism; empty where all of them are true, or none, and",
        "where a method refused. A node is true where it writes in a true link; `embed`, which is in every circuit, is",
        f"left out. Exact are `{CUT}`, of a node at all tokens at once, and `{SWEEP}`, of one token at a time, the",
        "largest counting. Methods that score links give a node the score of its strongest link.",
        "",
        f"| organism | kind | nodes | true | {' | '.join(NODE_METHODS)} |",
        f"| --- | --- | --- | --- | {' | '.join('---' for _ in NODE_METHODS)} |",
    )
    for one in trials:
        said = one.nodes.verdicts
        aurocs = " | ".join(f"{said[method].auroc:.3f}" if method in said else "" for method in NODE_METHODS)
        yield f"| {one.name} | {one.kind} | {one.nodes.n_nodes} | {one.nodes.n_true} | {aurocs} |"


def _refusals(trials: Sequence[Trial]) -> list[str]:
    return [f"{one.name}, {method}: {why}" for one in trials for method, why in one.nodes.refused.items()]


def main(argv: list[str] | None = None, measured: Callable[[int, Progress], Measured] = measure_all) -> None:
    """Measure, and write the table into a folder."""
    folder = results_folder(COMMAND, __doc__, argv)
    write_whole(folder / "circuits.md", table(measured(SEED, told)))


if __name__ == "__main__":
    main()
