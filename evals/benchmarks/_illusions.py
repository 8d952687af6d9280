"""Whether the interpretability illusion is told from a true direction, on models built to have both.

Makelov, Lange, Nanda 2023, "Is This the Subspace You Are Looking for?". Each model has a direction that turns the
answer when it is patched although neither part of it does, and beside it a direction that truly carries the answer.
"""

from typing import Any

from ...tools import Progress, get_tool
from ..metric import Metric, share_metric
from ..organisms.nulls import DormantPathway, dormant_pathway

N_MODELS = 30  # none missed of so many bounds the rate at 10 % (one-sided 95 %)


def illusions(seed: int, progress: Progress) -> dict[str, Metric]:
    """Shares of illusory and of true directions that are called an illusion."""
    flagged, alarms = 0, 0
    for done in range(N_MODELS):
        progress(done, N_MODELS, "directions that may be illusions")
        pathway = dormant_pathway(seed * N_MODELS + done)
        flagged += _verdict(pathway, pathway.site, pathway.illusory.tolist(), seed) == "illusion"
        alarms += _verdict(pathway, pathway.true_site, pathway.true.tolist(), seed) != "holds"
    return {
        "illusion_flagged": share_metric(flagged, N_MODELS, at_least=1.0),
        "illusion_false_alarms": share_metric(alarms, N_MODELS, at_most=0.0),
    }


def _verdict(pathway: DormantPathway, site: str, direction: list[float], seed: int) -> str:
    """What the instrument says of one direction, over all counterfactuals together."""
    pairs = [pair.model_dump(mode="json") for family in pathway.organism.families.values() for pair in family]
    instrument = get_tool("subspace_patch")
    asked: dict[str, Any] = {
        "pairs": pairs,
        "site": site,
        "direction": "given",
        "vectors": [direction],
        "seed": seed,
    }
    (cell,) = instrument(pathway.organism.subject, instrument.parse(asked)).cells
    return cell.verdict
