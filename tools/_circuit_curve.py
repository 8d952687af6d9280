"""How much of the answer circuits keep: faithfulness by size, areas under the curve, and stability.

f(C) = (m(C) - m(none)) / (m(all) - m(none)), m the mean logit difference when links outside C carry the counterfactual
(Hanna et al. 2024; MIB, Mueller et al. 2025). Areas are taken over the share of links kept, on a grid of counts: on
MIB's grid of percentages a circuit of six links among a hundred falls between the first steps. CPR is the area under f,
CMD the area between f and 1. CPR is unbounded, since a circuit can exaggerate: never choose by it.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._base import ToolError
from ._circuit_runs import CircuitRuns

SINGLE_STEPS, GROWTH = 16, 1.3  # counts up to this are all on the grid; after that they grow by this factor


def counts(n_links: int) -> tuple[int, ...]:
    """Sizes of circuits to measure, from none to all links."""
    found = list(range(min(SINGLE_STEPS, n_links) + 1))
    while found[-1] < n_links:
        found.append(min(n_links, int(found[-1] * GROWTH) + 1))
    return tuple(found)


def strongest(scores: Float[Tensor, " _"], sizes: Sequence[int]) -> Bool[Tensor, "_ _"]:
    """For each size a row: the links of the largest scores, the earlier in the graph's order where scores are equal."""
    order = scores.abs().argsort(descending=True, stable=True)
    kept = torch.zeros(len(sizes), len(scores), dtype=torch.bool)
    for row, size in enumerate(sizes):
        kept[row, order[:size]] = True
    return kept


def faithfulness(runs: Sequence[CircuitRuns], kept: Bool[Tensor, "_ _"]) -> Float[Tensor, "_ _"]:
    """f of each circuit (rows) on each family (columns)."""
    columns = [(one.answers_of(kept.float()).mean(1) - one.corrupted.mean()) / one.gap for one in runs]
    return torch.stack(columns, 1).cpu()


def area(sizes: Sequence[int], heights: Float[Tensor, " _"]) -> float:
    """Under these heights, over the share of links kept."""
    return float(np.trapezoid(heights.double().numpy(), np.array(sizes) / sizes[-1]))


def resampled(
    shares: Sequence[Sequence[Float[Tensor, "_ _"]]],
    clusters: Sequence[Sequence[str]],
    threshold: float,
    draws: int,
    seed: int,
) -> Bool[Tensor, "_ _"]:
    """The circuit (columns) that each resample of the pairs gives (rows): clusters are drawn with replacement.

    Args:
        shares: By context and family, the effect on each pair of each link.
        clusters: By family, of each pair. A family's draw is one for all contexts.
    """
    generator = np.random.default_rng(seed)
    weights = [_weights(names, draws, generator) for names in clusters]
    found = torch.zeros(draws, shares[0][0].shape[1])
    for context in shares:
        for weight, pairs in zip(weights, context, strict=True):
            found = torch.maximum(found, (weight @ pairs.float()).abs())
    return found >= threshold


def refuse_one_cluster(clusters: Sequence[Sequence[str]]) -> None:
    """Raise a `ToolError` where no resample of a family would differ from another."""
    for names in clusters:
        if len(set(names)) < 2:
            raise ToolError(
                f"A family has {len(names)} pairs of one cluster: resampling cannot tell how stable a circuit is.",
                mend="Give pairs of several clusters, or set `resamples` to 0.",
            )


def mean_jaccard(sets: Bool[Tensor, "_ _"]) -> float:
    """Mean over pairs of rows of what both hold among what either holds; two empty rows are equal."""
    both = sets.double() @ sets.double().T
    sizes = both.diagonal()
    either = sizes[:, None] + sizes[None] - both
    shares = torch.where(either == 0, 1.0, both / either.clamp(min=1))
    rows, columns = torch.triu_indices(len(sets), len(sets), offset=1)
    return shares[rows, columns].mean().item()


def _weights(names: Collection[str], draws: int, generator: np.random.Generator) -> Float[Tensor, "_ batch"]:
    """How much each pair counts in each resample's mean."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    drawn = generator.integers(len(numbers), size=(draws, len(numbers)))
    times = np.stack([np.bincount(row, minlength=len(numbers)) for row in drawn])[:, [numbers[name] for name in names]]
    return torch.tensor(times / times.sum(1, keepdims=True), dtype=torch.float32)
