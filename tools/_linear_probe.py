"""A linear probe of two classes, and how well it tells apart what it has not seen.

Logistic regression (Alain and Bengio 2016), the classes weighted equally, with a ridge on the weights. Values are
centred and divided by one number, so that the weights are a direction of the values' own space.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from scipy.optimize import minimize
from torch import Tensor

from ._base import Frozen, ToolError

FEWEST_PER_CLASS = 4  # three to fit with, one to hold out
HELD_OUT = 0.25  # share of each class
RIDGE = 0.01  # of squared weights, values having a mean square of 1 per text
SHUFFLES = 20


class ProbeFit(Frozen):
    """How well a probe tells its classes apart."""

    held_out_accuracy: float = Field(
        description="Held-out prompts on the right side, classes weighted equally (share)."
    )
    shuffled_accuracy: float = Field(
        description=f"Control: the same, mean over {SHUFFLES} fits to labels that were dealt out anew (share)."
    )
    n_fitted: int = Field(description="Prompts that it was fitted to (count).")
    n_held_out: int = Field(description="Prompts that it was held to (count).")


class Probe(NamedTuple):
    """Weights of a probe: what points from the class that lacks something to the class that has it."""

    weights: Float[Tensor, " d_model"]
    fit: ProbeFit


def fit_probe(have: Float[Tensor, "batch d_model"], lack: Float[Tensor, "_ d_model"], seed: int) -> Probe:
    """A probe fitted to three quarters of each class, drawn by the seed, and held to the rest.

    Raises:
        ToolError: a class with too few values.
    """
    if (few := min(len(have), len(lack))) < FEWEST_PER_CLASS:
        raise ToolError(
            f"A probe was asked for with {few} prompts in a class.", mend=f"Give at least {FEWEST_PER_CLASS} of each."
        )
    values = torch.cat([have, lack]).cpu().double().numpy()
    labels = np.repeat([1, 0], [len(have), len(lack)])
    generator = np.random.default_rng(seed)
    out = np.zeros(len(labels), dtype=bool)
    for label in (0, 1):
        of_it = generator.permutation(np.flatnonzero(labels == label))
        out[of_it[: max(1, round(HELD_OUT * len(of_it)))]] = True
    weights, accuracy = _fitted(values, labels, out)
    dealt = []
    for _ in range(SHUFFLES):
        others = labels.copy()
        # Within the parts, so that both keep their classes' sizes.
        others[out], others[~out] = generator.permutation(labels[out]), generator.permutation(labels[~out])
        dealt.append(_fitted(values, others, out)[1])
    fit = ProbeFit(
        held_out_accuracy=accuracy,
        shuffled_accuracy=float(np.mean(dealt)),
        n_fitted=int((~out).sum()),
        n_held_out=int(out.sum()),
    )
    return Probe(torch.tensor(weights).to(have), fit)


def _fitted(
    values: Float[np.ndarray, "batch d_model"], labels: Int[np.ndarray, " batch"], out: np.ndarray
) -> tuple[Float[np.ndarray, " d_model"], float]:
    """Weights of the values' own space, and the share of each class on its side among those held out, averaged."""
    centre = values[~out].mean(0)
    size = max(float(np.sqrt(((values[~out] - centre) ** 2).sum(-1).mean())), np.finfo(float).tiny)
    x, sign = (values - centre) / size, 2.0 * labels - 1
    counts = {label: float((labels[~out] == label).sum()) for label in (0, 1)}
    weight = np.array([0.5 / counts[label] for label in labels[~out]])

    def loss(at: Float[np.ndarray, " _"]) -> tuple[float, Float[np.ndarray, " _"]]:
        margin = sign[~out] * (x[~out] @ at[:-1] + at[-1])
        slope = -weight * sign[~out] / (1 + np.exp(np.clip(margin, -500, 500)))
        gradient = np.append(slope @ x[~out] + 2 * RIDGE * at[:-1], slope.sum())
        return float(weight @ np.logaddexp(0, -margin) + RIDGE * at[:-1] @ at[:-1]), gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    right = (x[out] @ found[:-1] + found[-1] > 0) == (labels[out] == 1)
    return found[:-1] / size, float(np.mean([right[labels[out] == label].mean() for label in (0, 1)]))
