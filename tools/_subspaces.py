"""Linear subspaces of a site's values: exchanged between runs, drawn at random, and split by what the model can see.

A component's values reach the rest of the model through an outgoing matrix. What lies in its null space is causally
disconnected: whatever is written there, no later part can tell. The rest is the row space (Makelov, Lange and Nanda
2023, "Is This the Subspace You Are Looking for?", arXiv 2311.17030).

| site | outgoing matrix |
| --- | --- |
| `mlp_act.L` | `W_down` |
| `head.L.H` | `W_O` of the head |
| `v.L.G` | `W_O` of all heads that share these values |
| `embed`, `resid_*`, `attn_out`, `mlp_out` | none: every later part reads the stream itself |
| `mlp_in.L`, `q.L.H`, `k.L.G` | none of its own: read by a nonlinear map, and all of it taken as connected |

Where all norms of a family centre (LayerNorm), no part sees the stream's mean over its dimensions, so the stream there
has one disconnected direction, and the matrices above are taken with their output centred. A norm behind attention or
MLP (Gemma) is not taken into the matrix: its denominator sees all that the matrix writes.

The axis feature counts dimensions of a subspace; d_model is the site's width, also where it is narrower or wider.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from ._attribution_norm import working_type
from ._base import ToolError
from ._sites import Site
from ._subject import Subject

SMALLEST_PART = 1e-3  # of a direction of length 1: what is shorter is rounding, and no part of it
READ_NONLINEARLY = ("mlp_in", "q", "k")

Outgoing = Literal["W_down", "W_O", "stream", "nonlinear"]


@dataclass(frozen=True)
class Connection:
    """What the rest of the model can see of a site's values."""

    outgoing: Outgoing
    seen: Float[Tensor, "feature d_model"] | None  # orthonormal basis of the row space; none where all of it is seen

    def row_part(self, basis: Float[Tensor, "feature d_model"]) -> Float[Tensor, "feature d_model"]:
        """Each direction's part in the row space."""
        return basis if self.seen is None else basis @ self.seen.T @ self.seen


def connection(subject: Subject, site: Site) -> Connection:
    """What later parts of a subject see of a site."""
    if site.kind in READ_NONLINEARLY:
        return Connection("nonlinear", None)
    outgoing, matrix = _outgoing(subject, site)
    if subject.final_norm.centred:
        # The stream's own matrix is the identity, which centring leaves with one direction less.
        matrix = torch.eye(subject.shape.d_model) if matrix is None else matrix
        # In double precision: in half, the mean taken off would be rounded, and the rounding count as seen.
        written = rearrange(matrix.double(), "dim (copy model) -> dim copy model", model=subject.shape.d_model)
        matrix = rearrange(written - written.mean(-1, keepdim=True), "dim copy model -> dim (copy model)")
    return Connection(outgoing, None if matrix is None else _row_space(matrix).to(subject.device))


def _outgoing(subject: Subject, site: Site) -> tuple[Outgoing, Float[Tensor, "d_model _"] | None]:
    if site.layer is None:
        return "stream", None
    weights = subject.weights(site.layer)
    if site.kind == "mlp_act":
        return "W_down", weights.W_down.detach().cpu()
    if site.kind in ("head", "v"):
        assert site.head is not None, f"{site} without a head passed parsing"
        shared = subject.shared_by if site.kind == "v" else 1
        heads = weights.W_O[site.head * shared : (site.head + 1) * shared].detach().cpu()
        return "W_O", rearrange(heads, "head dim model -> dim (head model)")
    return "stream", None


def _row_space(matrix: Float[Tensor, "d_model _"]) -> Float[Tensor, "feature d_model"]:
    """Orthonormal basis of the values that the matrix does not send to zero, within the digits of its own type."""
    directions, sizes, _ = torch.linalg.svd(matrix.double(), full_matrices=False)
    digits = torch.finfo(torch.float32).eps * max(matrix.shape)
    return rearrange(directions[:, sizes > sizes.max() * digits], "width feature -> feature width").float()


def orthonormal(rows: Float[Tensor, "_ d_model"], smallest: float = SMALLEST_PART) -> Float[Tensor, "feature d_model"]:
    """Orthonormal basis of what the rows span; what is shorter than `smallest` counts as nothing."""
    if len(rows) == 1:  # one direction keeps its sign
        length = rows.norm()
        return rows / length if length > smallest else rows[:0]
    _, sizes, directions = torch.linalg.svd(rows.cpu().double(), full_matrices=False)
    return directions[sizes > smallest].to(rows)


def given_subspace(
    vectors: Float[Tensor, "feature d_model"],
) -> Float[Tensor, "feature d_model"]:
    """Orthonormal basis of the subspace that vectors span.

    Raises:
        ToolError: vectors that span fewer dimensions than there are vectors.
    """
    # Squares of very long vectors have no number: the largest entry first becomes 1.
    vectors = vectors / vectors.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(vectors.dtype).tiny)
    lengths = vectors.norm(dim=-1, keepdim=True)
    if (lengths == 0).any():
        raise ToolError("A vector has length 0.", mend="Give vectors that point somewhere.")
    basis = orthonormal(vectors / lengths)
    if len(basis) < len(vectors):
        raise ToolError(
            f"{len(vectors)} vectors span {len(basis)} dimensions.", mend="Leave out those that others add up to."
        )
    return basis


def random_subspace(like: Float[Tensor, "feature d_model"], seed: int) -> Float[Tensor, "feature d_model"]:
    """A subspace with as many dimensions, none more likely than another."""
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    basis, _ = torch.linalg.qr(noise.T)
    return basis.T.to(like)


def exchanged(
    own: Float[Tensor, "pos d_model"], donor: Float[Tensor, "pos d_model"], basis: Float[Tensor, "feature d_model"]
) -> Float[Tensor, "pos d_model"]:
    """The values with their part in the subspace taken from the donor's."""
    wide = working_type(own)
    mine, span = wide(own), wide(basis)
    return (mine + (wide(donor) - mine) @ span.T @ span).to(own.dtype)
