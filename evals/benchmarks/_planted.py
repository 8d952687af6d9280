"""Data whose directions are known, and how well a dictionary has found them.

Superposition: more directions than dimensions, few active at a time. Two levels: the tree of the matching-pursuit paper
(Costa et al. 2025, after Bussmann et al. 2025): 20 features in 20 dimensions; one of 11 at the top is active, three of
those have three children each, of which at most one is active with them, six times in ten. Features of one level and
family are correlated, levels are orthogonal. An active feature has size 1.5 ± 0.25.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

PARENTS = (0, 4, 8, *range(12, 20))
FAMILIES = ((1, 2, 3), (5, 6, 7), (9, 10, 11))
FIRST_SEED = 1_000_003  # away from the seeds of training
OF_PARENT, OF_CHILD = (0.2,) * 3 + (0.05,) * 8, (0.2,) * 3 + (0.4,)  # how often; the last is no child


class Planted(NamedTuple):
    """Values, what they are made of, and how strongly each direction is in each of them."""

    values: Float[Tensor, "batch d_model"]
    directions: Float[Tensor, "feature d_model"]
    amounts: Float[Tensor, "batch feature"]


def superposition(seed: int, n_tokens: int = 20_000, n_features: int = 64, d_model: int = 32) -> Planted:
    """Random directions, each active at one token in twenty with a size of 0.5 to 1.5."""
    generator = torch.Generator().manual_seed(FIRST_SEED + seed)
    directions = normalize(torch.randn(n_features, d_model, generator=generator), dim=-1)
    on = torch.rand(n_tokens, n_features, generator=generator) < 0.05
    amounts = on * (0.5 + torch.rand(n_tokens, n_features, generator=generator))
    return Planted(amounts @ directions, directions, amounts)


def tree(seed: int, correlation: float, n_tokens: int = 20_000) -> Planted:
    """Two levels of features.

    Args:
        correlation: Cosine between two parents, and between two children of one parent.
    """
    generator = torch.Generator().manual_seed(FIRST_SEED + seed)
    directions = torch.linalg.qr(torch.randn(20, 20, generator=generator)).Q
    for family in (PARENTS, *FAMILIES):
        directions[list(family)] = _correlated(directions[list(family)], correlation)
    parent = torch.multinomial(torch.tensor(OF_PARENT), n_tokens, replacement=True, generator=generator)
    child = torch.multinomial(torch.tensor(OF_CHILD), n_tokens, replacement=True, generator=generator)
    amounts, tokens = torch.zeros(n_tokens, 20), torch.arange(n_tokens)
    amounts[tokens, torch.tensor(PARENTS)[parent]] = 1
    has_child = (parent < len(FAMILIES)) & (child < 3)
    amounts[tokens[has_child], torch.tensor(FAMILIES)[parent[has_child], child[has_child]]] = 1
    amounts = amounts * (1.5 + 0.25 * torch.randn(n_tokens, 20, generator=generator))
    return Planted(amounts @ directions, directions, amounts)


def _correlated(rows: Float[Tensor, "feature d_model"], cosine: float) -> Float[Tensor, "feature d_model"]:
    """Orthonormal rows, leaned towards their sum until each two have that cosine; their length stays one."""
    n_rows, apart = len(rows), (1 - cosine) ** 0.5
    lean = ((1 + (n_rows - 1) * cosine) ** 0.5 - apart) / n_rows
    return apart * rows + lean * rows.sum(0)


def matched(found: Float[Tensor, "feature d_model"], planted: Float[Tensor, "_ d_model"]) -> Float[Tensor, " _"]:
    """Per planted direction the cosine of the one found that it is matched with, one to one, best in sum."""
    cosines = (normalize(planted, dim=-1) @ normalize(found, dim=-1).T).detach().cpu()
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    best = torch.zeros(len(planted))
    best[torch.as_tensor(rows)] = cosines[torch.as_tensor(rows), torch.as_tensor(columns)]
    return best
