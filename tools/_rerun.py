"""One prompt run again by our own hand, each kind of part held as the prompt had it or live, with something added.

Held attention keeps its patterns (values still move). Held norms keep their denominators, those of queries and keys
too. Held MLPs keep what they wrote, and pass on what the dictionary's skip makes of the change of their input: with all
three held this is the local replacement model (`_attribution_local.py`), linear in what is added. With all three live
it is the subject. Live MLPs are the subject's own modules.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ._attribution_norm import FrozenNorm, working_type
from ._attribution_query_key import QueryKey, Scales, run_with_looks
from ._base import ToolError
from ._block_parts import BlockModules, BlockWeights, Norm, soft_capped
from ._proof import TOLERANCE
from ._reader import Tokens
from ._subject import Subject

LARGEST_PASS = 2**26  # numbers in the widest tensor of one pass: 256 MiB in single precision


@dataclass(frozen=True)
class Held:
    """What keeps to the clean prompt."""

    attention: bool
    norms: bool
    mlps: bool


@dataclass(frozen=True)
class Outcome:
    """What some runs came to."""

    mlp_in: dict[int, Float[Tensor, "batch pos d_model"]]  # of the layers asked for
    final: Float[Tensor, "batch d_model"]  # the last token's stream behind the final norm
    logits: Float[Tensor, "batch vocab"]  # after the last token, capped as the model caps them


@dataclass(frozen=True)
class _Clean:
    """What one block did on the prompt."""

    weights: BlockWeights
    modules: BlockModules
    look: QueryKey
    scales: Scales
    pattern: Float[Tensor, "head pos pos"]
    norm1: FrozenNorm
    norm2: FrozenNorm
    post_attention: FrozenNorm | None
    post_mlp: FrozenNorm | None
    mlp_in: Float[Tensor, "pos d_model"]
    mlp_writes: Float[Tensor, "pos d_model"]  # in front of the norm behind the MLP
    skip: Float[Tensor, "d_model d_model"] | None


class Rerun:
    """A prompt and what it did."""

    def __init__(
        self, subject: Subject, tokens: Tokens, read: Collection[str] = (), skips: Mapping[int, Tensor] | None = None
    ) -> None:
        """
        Args:
            read: Sites to read from the clean run.
            skips: By layer what the dictionary's features have beside them.

        Raises:
            ToolError: how the model's heads look is not known.
        """
        self.subject, self.n_pos = subject, tokens.ids.shape[1]
        layers = range(subject.shape.n_layers)
        kinds = ("resid_pre", "attn_out", "mlp_in", "pattern")
        sites = [f"{kind}.{layer}" for layer in layers for kind in kinds] + [f"resid_post.{layers[-1]}"]
        run, self._looks = run_with_looks(subject, tokens, [*sites, *read])
        self.sites = {name: value[0] for name, value in run.sites.items()}
        self.wide = working_type(self.sites["resid_pre.0"])
        self.logits: Float[Tensor, " vocab"] = self.wide(run.last_logits[0])
        self._refuse_what_is_not_finite()
        self._start = self.wide(self.sites["resid_pre.0"])
        self._blocks = [self._clean(layer, (skips or {}).get(layer)) for layer in layers]
        self._final_norm = FrozenNorm.at(subject.final_norm, self.sites[f"resid_post.{layers[-1]}"])

    def run(
        self,
        held: Held,
        added: Mapping[int, Float[Tensor, "batch pos d_model"]],
        in_front: bool = False,
        read: Collection[int] = (),
    ) -> Outcome:
        """Run with something added to what MLPs write.

        Args:
            added: By layer; no layer for one run as it was.
            in_front: Whether it is added in front of the norm behind the MLP, where a family has one.
            read: Layers whose MLP input is wanted.
        """
        n_rows = len(next(iter(added.values()))) if added else 1
        shape = self.subject.shape
        widest = self.n_pos * max(shape.d_mlp, shape.n_heads * self.n_pos)
        parts = [
            self._pass(held, {layer: value[rows] for layer, value in added.items()}, in_front, read)
            for rows in torch.arange(n_rows).split(max(1, LARGEST_PASS // widest))
        ]
        return Outcome(
            {layer: torch.cat([part.mlp_in[layer] for part in parts]) for layer in read},
            torch.cat([part.final for part in parts]),
            torch.cat([part.logits for part in parts]),
        )

    def no_op_change(self, held: Held) -> float:
        """Largest difference between the model's own last logits and those of this run with nothing added (nats).

        Raises:
            ToolError: it is so large that this run is not the model's.
        """
        change = (self.run(held, {}).logits[0] - self.logits).abs().max().item()
        allowed = TOLERANCE[self.subject.model.dtype] * self.logits.abs().max().item()
        if not change <= allowed:
            raise ToolError(
                f"With nothing changed, logits run part by part differ by {change:.2g} from the model's own "
                f"(allowed {allowed:.2g}).",
                mend="Load the model in float32, or use a plain checkpoint.",
            )
        return change

    def _pass(self, held: Held, added: Mapping[int, Tensor], in_front: bool, read: Collection[int]) -> Outcome:
        n_rows = len(next(iter(added.values()))) if added else 1
        resid, seen = self._start.expand(n_rows, -1, -1), {}
        with torch.no_grad():
            for layer, block in enumerate(self._blocks):
                before, resid = self._through(block, held, resid, added.get(layer), in_front)
                if layer in read:
                    seen[layer] = before
            final = self._normed(held, self.subject.final_norm, self._final_norm, resid)[:, -1]
        logits = final @ self.wide(self.subject.W_U)
        return Outcome(seen, final, soft_capped(logits, self.subject.logit_softcap))

    def _through(
        self, block: _Clean, held: Held, resid: Tensor, added: Tensor | None, in_front: bool
    ) -> tuple[Float[Tensor, "batch pos d_model"], Float[Tensor, "batch pos d_model"]]:
        """What one block's MLP reads, and the stream behind the block."""
        weights = block.weights
        normed = self._normed(held, weights.norm1, block.norm1, resid)
        scales = block.scales if held.norms else None
        pattern = block.pattern[None] if held.attention else block.look.pattern(normed, scales)
        heads = self._heads(weights, normed, pattern)
        middle = resid + self._normed(held, weights.post_attention, block.post_attention, heads)
        mlp_in = self._normed(held, weights.norm2, block.norm2, resid if self.subject.shape.parallel else middle)
        writes = block.mlp_writes if held.mlps else self._mlp(block.modules, mlp_in)
        if added is not None and in_front:
            writes = writes + added
        writes = self._normed(held, weights.post_mlp, block.post_mlp, writes)
        if added is not None and not in_front:
            writes = writes + added
        if held.mlps and block.skip is not None:
            writes = writes + (mlp_in - block.mlp_in) @ block.skip
        return mlp_in, middle + writes

    def _normed(self, held: Held, live: Norm | None, frozen: FrozenNorm | None, x: Tensor) -> Tensor:
        if live is None or frozen is None:
            return x
        return frozen(x) if held.norms else live(x)

    def _heads(
        self,
        weights: BlockWeights,
        normed: Float[Tensor, "batch pos d_model"],
        pattern: Float[Tensor, "_ head pos pos"],
    ) -> Float[Tensor, "batch pos d_model"]:
        """All heads together, in front of the norm behind attention."""
        wide = self.wide
        values = einsum(normed, wide(weights.W_V), "batch key model, head model dim -> batch head key dim")
        mixed = pattern @ (values + wide(weights.b_V)[:, None])
        together = einsum(mixed, wide(weights.W_O), "batch head pos dim, head dim model -> batch pos model")
        return together + wide(weights.b_O)

    def _mlp(self, modules: BlockModules, mlp_in: Tensor) -> Tensor:
        return self.wide(modules.mlp(mlp_in.to(self.subject.model.dtype)))

    def _clean(self, layer: int, skip: Tensor | None) -> _Clean:
        weights, modules = self.subject.weights(layer), self.subject.architecture.blocks()[layer]
        resid, attn_out, mlp_in, pattern = (
            self.wide(self.sites[f"{kind}.{layer}"]) for kind in ("resid_pre", "attn_out", "mlp_in", "pattern")
        )
        look, normed = self._looks[layer], weights.norm1(resid)[None]
        with torch.no_grad():
            mlp_writes = self._mlp(modules, mlp_in[None])[0]
        heads = self._heads(weights, normed, pattern[None])[0]
        behind = weights.post_attention, weights.post_mlp
        return _Clean(
            weights=weights,
            modules=modules,
            look=look,
            scales=look.scales(normed),
            pattern=pattern,
            norm1=FrozenNorm.at(weights.norm1, resid),
            norm2=FrozenNorm.at(weights.norm2, resid if self.subject.shape.parallel else resid + attn_out),
            post_attention=None if behind[0] is None else FrozenNorm.at(behind[0], heads),
            post_mlp=None if behind[1] is None else FrozenNorm.at(behind[1], mlp_writes),
            mlp_in=mlp_in,
            mlp_writes=mlp_writes,
            skip=None if skip is None else self.wide(skip),
        )

    def _refuse_what_is_not_finite(self) -> None:
        for name, value in (self.sites | {"logits": self.logits}).items():
            if not value.isfinite().all():
                raise ToolError(
                    f"`{name}` of {self.subject.name} is not finite on this prompt.",
                    mend="Check the weights for NaN, or load the model in float32.",
                )
