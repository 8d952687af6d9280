"""Names of supernodes on models whose tasks are known: do they hold when tested, beside clusters and random groups?

26 prompts of six relations of `atlas`, and 22 prompts of five relations of an organism whose features have names by
construction (`_supernode_worlds.py`). Each prompt's features are selected, probed, named and grouped; a name's
predictions are seen on discovery prompts, sealed if those bear them out, confirmed on others (`_supernode_trials.py`).
The same with the published naming rules alone, with clusters of like activations, with the named features under each
other's names, and with random features of equal number and layers in the named ones' place; what is put in by swaps
are the supernodes of other prompts throughout. A group holds where all predictions of its name are supported. A name
that comes twice with the same features counts once.

Whether features of a name peak alike on held-out probes says how well names describe activations, not what they do.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ...tools import Measurement, Progress, dictionary_of, held_out_comparison, one_thread
from ..metric import Metric, mean_metric, share_metric
from ._supernode_groups import Groups, as_nodes, clusters, named, permuted, random_groups, signatures
from ._supernode_trials import Bench, Trial, try_names
from ._supernode_worlds import Case, World, cases, compiled_world, trained_world

RANDOM_DRAWS = 2  # random groups per supernode
TIMED = 3  # prompts on which the whole pipeline is timed
LEAST_NAMES, MOST_RANDOM, MOST_SECONDS = 0.9, 0.05, 20.0
METHODS = {
    "names": "names",
    "published": "published_names",
    "clusters": "cluster_groups",
    "permuted": "permuted_names",
    "random": "random_groups",
}
PUBLISHED_RULES = {"value_share": None, "next_share": None}


@dataclass
class _Namer:
    """Names features of prompts, each prompt once."""

    bench: Bench
    world: World
    seed: int
    thresholds: Mapping[str, object] = field(default_factory=dict)
    _known: dict[str, Measurement] = field(default_factory=dict)

    def probed(self, prompt: str, target: str) -> Measurement:
        if prompt not in self._known:
            args = {"prompt": prompt, "target": target, "seed": self.seed, "thresholds": dict(self.thresholds)}
            args |= {"dictionary": self.world.dictionary, **self.world.select}
            self._known[prompt] = self.bench.measure("probe_prompts", args)
        return self._known[prompt]


@dataclass(frozen=True)
class _Tried:
    """What became of one model's groups."""

    trials: Mapping[str, list[Trial]]  # by method
    probed: Mapping[str, list[Measurement]]  # by naming rules


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Run both models; `seed` changes the organism, prompts, probes, splits, draws and the twin's statistics."""
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        trained, compiled = trained_world(), compiled_world(seed, Path(folder) / "facts")
        tried = _tried_in(trained, seed, progress)
        built = _tried_in(compiled, seed, progress)
        progress(0, TIMED, "timing")
        seconds = [_seconds(Bench(trained.subject), trained, case, seed) for case in cases(trained, seed)[:TIMED]]
    found = _shares(tried.trials)
    found |= _held_out(tried.probed["names"], "", seed)
    found |= _held_out(tried.probed["published"], "published_", seed)
    found |= {f"organism_{name}": figure for name, figure in _shares(built.trials).items()}
    found["organism_names_right_share"] = _right(built.probed["names"], compiled.true_names)
    return found | {"seconds_per_prompt": _seconds_metric(seconds)}


def _tried_in(world: World, seed: int, progress: Progress) -> _Tried:
    """Every method on every prompt of one model."""
    bench, known = Bench(world.subject), cases(world, seed)
    namers = {"names": _Namer(bench, world, seed), "published": _Namer(bench, world, seed, PUBLISHED_RULES)}
    trials: dict[str, list[Trial]] = {name: [] for name in METHODS}
    for done, case in enumerate(known):
        progress(done, len(known), case.setting.prompt)
        trials["names"] += _tried(bench, case, namers["names"], named, seed)
        trials["published"] += _tried(bench, case, namers["published"], named, seed)
        trials["clusters"] += _tried(bench, case, namers["names"], clusters, seed)
        trials["permuted"] += _tried(bench, case, namers["names"], lambda one: permuted(one, seed), seed)
        for draw in range(RANDOM_DRAWS):
            drawn = _random_in(world, case.setting.prompt, seed * RANDOM_DRAWS + draw)
            trials["random"] += _tried(bench, case, namers["names"], drawn, seed)
    return _Tried(trials, {rules: [one.probed(*case.prompt) for case in known] for rules, one in namers.items()})


def _tried(
    bench: Bench, case: Case, namer: _Namer, grouping: Callable[[Measurement], Groups], seed: int
) -> tuple[Trial, ...]:
    """The groups of one prompt under their names; put in are the supernodes of the other prompts."""
    own = grouping(namer.probed(*case.prompt))
    others = [named(namer.probed(*prompt)) for prompt in case.others]
    put_in = {name: features for one in others for name, features in one.items()}
    return try_names(bench, case.setting, as_nodes(own), put_in, namer.world.dictionary, seed)


def _random_in(world: World, prompt: str, seed: int) -> Callable[[Measurement], Groups]:
    """Random groups in place of the supernodes."""
    dictionary = dictionary_of(world.subject, world.dictionary)
    return lambda probed: random_groups(world.subject, dictionary, prompt, named(probed), seed)


def _seconds(bench: Bench, world: World, case: Case, seed: int) -> float:
    """Wall time of one prompt from its graph to its verdicts, naming of the others included; the model is loaded."""
    started = time.perf_counter()
    _tried(bench, case, _Namer(bench, world, seed), named, seed)
    return time.perf_counter() - started


def _right(probed: Iterable[Measurement], true_names: Mapping[str, str]) -> Metric:
    """Of the selected features that are known by construction, once for each prompt, those that got their true name."""
    found = [
        (true_names[id_], one["name"])
        for measured in probed
        for one in measured.result["features"]
        if (id_ := f"{one['layer']}/{one['feature']}") in true_names
    ]
    return _share(sum(true == name for true, name in found), len(found))


def _shares(trials: Mapping[str, list[Trial]]) -> dict[str, Metric]:
    """Of what was sealed, and of all that could be tested, the share that holds.

    A name is used where it was sealed and holds, so its target is of the sealed ones; a random group could pass for a
    supernode wherever it can be tested, sealed or not.
    """
    found: dict[str, Metric] = {}
    for method, key in METHODS.items():
        tried = list({(t.node.name, frozenset(t.node.features)): t for t in trials[method]}.values())
        testable, sealed = [t for t in tried if t.tests], [t for t in tried if t.sealed]
        held = sum(t.holds for t in tried)
        of_sealed = {"at_least": LEAST_NAMES} if method == "names" else {}
        of_testable = {"at_most": MOST_RANDOM} if method == "random" else {}
        name = f"{key}_hold_share"
        found[name if method != "random" else f"{name}_of_sealed"] = _share(held, len(sealed), **of_sealed)
        found[name if method == "random" else f"{name}_of_testable"] = _share(held, len(testable), **of_testable)
        found[f"{key}_testable_share"] = _share(len(testable), len(tried))
    return found


def _share(count: int, n: int, **bounds: float) -> Metric:
    """A share of cases; of none there is no share."""
    return share_metric(count, n, **bounds) if n else Metric(value=0.0, low=None, high=None, n=0, target="", met=None)


def _held_out(probed: Iterable[Measurement], prefix: str, seed: int) -> dict[str, Metric]:
    """Peak agreement of names and clusters on held-out probes, over prompts."""
    agreements: dict[str, list[float]] = {"names": [], "clusters": []}
    for one in probed:
        compared = held_out_comparison(signatures(one, False), signatures(one, True), draws=0, seed=seed)
        by_method = {method.method: method.peak_agreement.value for method in compared.methods}
        for name, method in (("names", "names"), ("clusters", "cosine")):
            if (agreement := by_method[method]) is not None:
                agreements[name].append(agreement)
    return {
        f"{prefix}heldout_peak_agreement_{name}": mean_metric(values)
        for name, values in agreements.items()
        if len(values) > 1
    }


def _seconds_metric(seconds: list[float]) -> Metric:
    return Metric(
        value=median(seconds),
        low=None,
        high=None,
        n=len(seconds),
        least=min(seconds),
        most=max(seconds),
        target=f"≤ {MOST_SECONDS:g}",
        met=median(seconds) <= MOST_SECONDS,
    )
