"""Attribution graphs against circuit-tracer: the same weights, dictionary, prompt and nodes, timed side by side.

Both sides run as processes of their own on one thread, with the same settings of the C library's allocator, and take
turns; a ratio is the peer's median processor time over ours, at the batch size that is the peer's fastest on that case.
`python -m vesalius.evals.benchmarks.attribution FOLDER` also writes the table. The environment for circuit-tracer is
made once, under `~/.vesalius/benchmarks` or in the folder that `VESALIUS_HOME` names.
"""

import datetime
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...agent.runs import write_whole
from ...agent.settings import read_settings
from ...tools import Block, Kinds, Links, Progress, prune
from ..metric import Metric, middle_metric, spread_metric
from ._attribution_cases import CASES, AttributionCase, CaseFiles, write_case
from ._attribution_gpu import has_gpu, on_gpu
from ._ours import Ours
from ._peer import Peer, PeerGraph, PeerPruning
from ._peer_environment import peer_python
from ._process_cost import machine
from ._results_folder import results_folder, told

COMMAND = "python -m vesalius.evals.benchmarks.attribution FOLDER"
RUNS = 5  # timed runs a side
BATCHES = {"full": (16, 32), "budgeted": (8, 16, 64)}  # of the peer
TRIES = 3  # of each of these
TARGETS = {
    "6x256": 6,
    "8x512": 6,
    "12x768": 5,
    "6x256-clt": 15,
    "8x512-budgeted": 12,
    "12x768-budgeted": 12,
}
NAMES = {"6x256-clt": "clt", "8x512-budgeted": "budgeted", "12x768-budgeted": "budgeted_12x768"}
LARGEST_DIFFERENCE, LARGEST_PEAK_MB, LEAST_RATE, PRUNING = 1e-4, 120, 0.8, 8
CERTIFIED = {"8x512": ("certified", 10), "12x768": ("certified_12x768", None)}  # where certified links are timed too
SEED_OF_CASES = 0
NO_GPU = "no CUDA device was present"


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Every case; `seed` draws the weights, the dictionaries and the prompts."""
    root = read_settings().home / "benchmarks"
    python = peer_python(root / "circuit-tracer", progress)
    found: dict[str, Metric] = {}
    for done, (name, case) in enumerate(CASES.items()):
        progress(done, len(CASES), f"circuit-tracer and this engine on {name}")
        files = write_case(case, root / "cases", seed)
        found |= _case(python, case, files)
    found |= _on_gpu(python, root / "cases", seed, progress)
    progress(len(CASES), len(CASES), "done")
    return found


def _case(python: Path, case: AttributionCase, files: CaseFiles) -> dict[str, Metric]:
    """Ratios of one case, and how far its links are from the peer's."""
    name = NAMES.get(case.name, case.name)
    tried = BATCHES["budgeted" if case.max_feature_nodes else "full"]
    with Peer(python, case, files, batch_size=tried[0]) as peer:
        costs = {size: statistics.median(peer.run(size).cpu_s for _ in range(TRIES)) for size in tried}
    best = min(costs, key=lambda size: costs[size])
    with Peer(python, case, files, batch_size=best) as peer, Ours(case, files, batch_size=best) as ours:
        turns = [(peer.run(), ours.run(), ours.certified() if name in CERTIFIED else None) for _ in range(RUNS)]
        pairs = [(p, o) for p, o, _ in turns]
        theirs, mine = peer.graph(), ours.graph()
        found = {f"ratio_{name}": _ratio([(p.cpu_s, o.cpu_s) for p, o in pairs], TARGETS[case.name])}
        found[f"wall_ratio_{name}"] = _ratio([(p.wall_s, o.wall_s) for p, o in pairs])
        found[f"cpu_s_peer_{name}"] = _plain(statistics.median(p.cpu_s for p, _ in pairs), RUNS)
        found[f"cpu_s_{name}"] = _plain(statistics.median(o.cpu_s for _, o in pairs), RUNS)
        found[f"peer_batch_{name}"] = _plain(best, len(tried))
        found[f"edge_rel_diff_{name}"] = _least(largest_difference(mine, theirs), LARGEST_DIFFERENCE, mine)
        if case.name == "8x512":
            cuts = [(peer.prune().cpu_s, ours.prune().cpu_s) for _ in range(RUNS)]
            found["ratio_pruning"] = _ratio(cuts, PRUNING)
            found["pruning_differs"] = pruning_differs(theirs, peer.pruning(), case.shape.layers)
        if name in CERTIFIED:
            certified, least = CERTIFIED[name]
            found[f"ratio_{certified}"] = _ratio([(p.cpu_s, c.cpu_s) for p, _, c in turns if c is not None], least)
            found |= {f"{key}{certified.removeprefix('certified')}": one for key, one in _held(ours, mine).items()}
        if case.name in ("8x512", "12x768"):
            found[f"matrix_rate_share_{name}"] = _rate_share(ours)
    if case.name == "8x512":
        found |= _peaks(python, case, files, best)
        found |= _two_threads(python, case, files, best)
    return found


def _on_gpu(python: Path, root: Path, seed: int, progress: Progress) -> dict[str, Metric]:
    """Wall time on a graphics card where there is one; where there is none, a figure that says so."""
    if not has_gpu():
        progress(0, 1, f"{NO_GPU}, so its case is left out")
        return {"gpu_present": _plain(0.0, 0)}
    found = {"gpu_present": _plain(1.0, 1)}
    for one in on_gpu(python, root, seed, progress):
        found[f"wall_ratio_gpu_{one.dtype}"] = _ratio(one.wall_s)
        found[f"wall_s_gpu_{one.dtype}"] = middle_metric([ours for _, ours in one.wall_s])
        found[f"peer_batch_gpu_{one.dtype}"] = _plain(float(one.batch), 1)
        if one.graphs is not None:
            mine, theirs = one.graphs
            found[f"edge_rel_diff_gpu_{one.dtype}"] = _least(largest_difference(mine, theirs), LARGEST_DIFFERENCE, mine)
    return found


def _held(ours: Ours, graph: PeerGraph) -> dict[str, Metric]:
    """Whether no certified link is further from the ordinary one than its certificate says, and what that is."""
    said, n = ours.held(), int(graph.adjacency.count_nonzero())
    held = said["found"] <= said["bound"]
    return {
        "certified_bound_held": Metric(value=float(held), low=None, high=None, n=n, target="≥ 1", met=held),
        "certified_bound": _plain(said["bound"], n),
        "certified_recomputed": _plain(float(said["recomputed"]), n),
    }


def _rate_share(ours: Ours) -> Metric:
    """Multiplications of the sweep over its time, as a share of what the machine's matrix product does just then."""
    shares = [ours.products() / ours.sweep().wall_s / ours.rate() for _ in range(RUNS)]
    return middle_metric(shares, at_least=LEAST_RATE)


def _peaks(python: Path, case: AttributionCase, files: CaseFiles, batch: int) -> dict[str, Metric]:
    """Memory above model and dictionary, under the allocator's own settings: else what is freed counts as held.

    Each time a process of its own: how the allocator lays out a process moves its peak by a quarter.
    """
    theirs, mine = [], []
    for _ in range(RUNS):
        with Peer(python, case, files, batch_size=batch, tuned=False) as peer:
            theirs.append(peer.peak() / 2**20)
        with Ours(case, files, batch_size=batch, tuned=False) as ours:
            mine.append(ours.peak() / 2**20)
    return {
        f"peak_mb_{case.name}": middle_metric(mine, at_most=LARGEST_PEAK_MB),
        f"peak_mb_peer_{case.name}": middle_metric(theirs),
    }


def _two_threads(python: Path, case: AttributionCase, files: CaseFiles, batch: int) -> dict[str, Metric]:
    with Peer(python, case, files, batch, threads=2) as peer, Ours(case, files, batch, threads=2) as ours:
        pairs = [(peer.run().wall_s, ours.run().wall_s) for _ in range(RUNS)]
    return {f"wall_ratio_{case.name}_two_threads": _ratio(pairs)}


def largest_difference(mine: PeerGraph, theirs: PeerGraph) -> float:
    """Largest difference of two links, as a share of the target's largest link.

    Raises:
        ValueError: the two graphs have other nodes.
    """
    for field in ("active_features", "selected_features", "logit_tokens"):
        if not torch.equal(getattr(mine, field).long(), getattr(theirs, field).long()):
            raise ValueError(f"the two sides differ in {field}, so their links cannot be compared")
    scale = theirs.adjacency.abs().amax(1).clamp(min=1e-20)
    return ((mine.adjacency - theirs.adjacency).abs().amax(1) / scale).max().item()


def pruning_differs(theirs: PeerGraph, kept: PeerPruning, n_layers: int) -> Metric:
    """Nodes and links that our pruning of the peer's own adjacency keeps and its own does not, or the other way."""
    links, weight, kinds = in_links(theirs, n_layers)
    mine = prune(links, weight, kinds, 0.8, 0.98)
    edges = torch.zeros_like(kept.edge_mask)
    edges[mine.targets, mine.sources] = True
    differ = int((edges != kept.edge_mask).sum()) + int((mine.nodes != kept.node_mask).sum())
    n = int(kept.edge_mask.sum()) + int(kept.node_mask.sum())
    return Metric(value=differ, low=None, high=None, n=n, target="≤ 0", met=differ == 0)


def in_links(graph: PeerGraph, n_layers: int) -> tuple[Links, Float[Tensor, " batch"], Kinds]:
    """The peer's square matrix as blocks of links, its logits' weights, and what its nodes are."""
    n_nodes, n_logits = len(graph.adjacency), len(graph.logit_tokens)
    layers = graph.active_features[graph.selected_features, 0]
    n_tokens = (n_nodes - n_logits - len(layers)) // (n_layers + 1)
    targets = [((layers == layer).nonzero()[:, 0], layer) for layer in range(n_layers)]
    targets.append((torch.arange(n_nodes - n_logits, n_nodes), n_layers))
    everything = torch.arange(n_nodes)
    blocks = tuple(Block(layer, rows, everything, graph.adjacency[rows]) for rows, layer in targets)
    kind = torch.repeat_interleave(
        torch.arange(4), torch.tensor([len(layers), n_layers * n_tokens, n_tokens, n_logits])
    )
    weight = torch.cat([torch.zeros(n_nodes - n_logits), graph.logit_probabilities.float()])
    return Links(n_nodes, blocks), weight, Kinds(error=kind == 1, token=kind == 2, logit=kind == 3)


def _ratio(pairs: list[tuple[float, float]], target: float | None = None) -> Metric:
    """The peer's median over ours, and between what the ratios of single turns lie."""
    value = statistics.median(p for p, _ in pairs) / statistics.median(o for _, o in pairs)
    met = None if target is None else value >= target
    return spread_metric(value, [p / o for p, o in pairs], "" if target is None else f"≥ {target:g}", met)


def _least(value: float, bound: float, graph: PeerGraph) -> Metric:
    return Metric(
        value=value,
        low=None,
        high=None,
        n=int(graph.adjacency.count_nonzero()),
        target=f"≤ {bound:g}",
        met=value <= bound,
    )


def _plain(value: float, n: int) -> Metric:
    return Metric(value=value, low=None, high=None, n=n, target="", met=None)


def table(found: dict[str, Metric]) -> str:
    """The figures with the machine and the day they are from."""
    lines = [
        f"Measured {datetime.date.today().isoformat()} on {machine()}, torch {torch.__version__}, by",
        f"`{COMMAND}`.",
        *(["", f"The case for a graphics card was left out: {NO_GPU}."] if _left_out(found) else []),
        "",
        "| figure | value | single runs | n | target | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found.items():
        turns = "" if one.least is None else f"{one.least:.3g}–{one.most:.3g}"
        met = {True: "yes", False: "no", None: ""}[one.met]
        lines.append(f"| {name} | {one.value:.3g} | {turns} | {one.n} | {one.target} | {met} |")
    return "\n".join(lines) + "\n"


def _left_out(found: dict[str, Metric]) -> bool:
    return "gpu_present" in found and not found["gpu_present"].value


def main(argv: list[str] | None = None, measured: Callable[[int, Progress], dict[str, Metric]] = measure) -> None:
    """Measure, and write the table into a folder."""
    folder = results_folder(COMMAND, __doc__, argv)
    write_whole(folder / "attribution.md", table(measured(SEED_OF_CASES, told)))


if __name__ == "__main__":
    main()
