"""A sweep of patching over all heads and positions, against TransformerLens (Nanda, Bloom 2022) on the same model.

Both sides are processes of their own on one thread, with the same settings of the C library's allocator, and take
turns; a ratio is TransformerLens' processor time over ours, the median of the turns. Ours is the whole instrument, the
model's own runs that check it included. TransformerLens stands in the environment that circuit-tracer brings it into
(`_peer_environment.py`).
"""

import sys
from pathlib import Path

from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from ...agent.settings import read_settings
from ...tools import Progress
from ..metric import Metric, middle_metric
from ._attribution_cases import TUNED_MALLOC
from ._peer import OFFLINE, Peer
from ._peer_environment import peer_python
from ._tlens_case import SweepCase, write_sweep_case

SCRIPT = Path(__file__).parent / "_tlens_script.py"
RUNS = 5  # timed runs a side
LEAST_RATIO, LARGEST_DIFFERENCE = 5.0, 1e-4


def heads_by_positions(seed: int, progress: Progress) -> dict[str, Metric]:
    """How much faster, how far apart, and how well the machine is used; `seed` draws weights and prompts.

    Raises:
        ToolError: the environment could not be made, or a side failed.
    """
    root = read_settings().home / "benchmarks"
    python = peer_python(root / "circuit-tracer", progress)
    case = write_sweep_case(root / "cases", seed)
    with TransformerLens(python, case) as peer, OurSweep(python, case) as ours:
        ours.run()  # the first call of a process pays for what all later ones use
        turns = []
        for done in range(RUNS):
            progress(done, RUNS, "a patching sweep, TransformerLens and this package in turn")
            turns.append((peer.run(), ours.run(), ours.rate()))
        difference = (peer.effects() - ours.effects()).abs().max().item()
        products = ours.products()
    progress(RUNS, RUNS, "done")
    ratios = [theirs.cpu_s / mine.cpu_s for theirs, mine, _ in turns]
    return {
        "patch_ratio_transformerlens": middle_metric(ratios, at_least=LEAST_RATIO),
        "patch_max_diff": Metric(
            value=difference,
            low=None,
            high=None,
            n=RUNS,
            target=f"≤ {LARGEST_DIFFERENCE:g}",
            met=difference <= LARGEST_DIFFERENCE,
        ),
        "patch_rate_share": middle_metric([products / mine.cpu_s / rate for _, mine, rate in turns]),
        "patch_cpu_s": middle_metric([mine.cpu_s for _, mine, _ in turns]),
        "patch_cpu_s_transformerlens": middle_metric([theirs.cpu_s for theirs, _, _ in turns]),
    }


class TransformerLens(Peer):
    """A running TransformerLens with the model loaded; use it in a `with`."""

    whose = "TransformerLens"

    def __init__(self, python: Path, case: SweepCase, threads: int = 1) -> None:
        self._python, self._request = python, {"case": str(case.folder.absolute()), "threads": threads}
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))  # read before a script can say it
        self._environment = OFFLINE | counts | TUNED_MALLOC
        self._folder = self._process = None
        self.active, self.logits_differ = 0, 0.0

    def __enter__(self) -> "TransformerLens":
        super().__enter__()
        return self

    def _command(self, request: Path) -> list[str]:
        return [str(self._python), str(SCRIPT), str(request)]

    def effects(self) -> Float[Tensor, "layer head pos"]:
        """Those of the last run."""
        return load_file(self._ask("effects")["path"])["effects"]


class OurSweep(TransformerLens):
    """Our sweep in a process of its own."""

    whose = "this package"

    def __enter__(self) -> "OurSweep":
        super().__enter__()
        return self

    def _command(self, request: Path) -> list[str]:
        return [sys.executable, "-m", f"{__package__}._tlens_ours", str(request)]

    def products(self) -> float:
        """Multiplications of matrix products in one sweep (count)."""
        return self._ask("products")["products"]

    def rate(self) -> float:
        """Multiplications a second of a large matrix product, now."""
        return self._ask("rate")["per_s"]
