"""Prompts run part by part by our own hand, so that a run can go on from any part that was exchanged.

What is computed is what the model computes. What is left out is what cannot differ from the base: positions in front
of the first exchanged one (attention is causal), blocks below it, and in the last block every position but those of
last tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_norm import working_type
from ._attribution_query_key import run_with_looks
from ._base import ToolError
from ._block_maps import BlockMaps, SlotKind, normed
from ._block_parts import soft_capped
from ._pair_answers import Asked, Pair, PairAnswers, gap_between
from ._proof import TOLERANCE
from ._reader import Tokens
from ._subject import Subject

Direction = Literal["noising", "denoising"]


@dataclass(frozen=True)
class BlockRun:
    """What one block did on some prompts."""

    resid: Float[Tensor, "batch pos d_model"]  # in front of it
    q: Float[Tensor, "batch head pos d_head"]  # as their matrices give them
    k: Float[Tensor, "batch _ pos d_head"]
    v: Float[Tensor, "batch _ pos d_head"]
    turned_q: Float[Tensor, "batch head pos d_head"]
    turned_k: Float[Tensor, "batch _ pos d_head"]
    z: Float[Tensor, "batch head pos d_head"]
    together: Float[Tensor, "batch pos d_model"]  # all heads, in front of the norm behind attention
    attn_out: Float[Tensor, "batch pos d_model"]
    mlp_out: Float[Tensor, "batch pos d_model"]

    def turned(self, kind: SlotKind) -> Float[Tensor, "batch _ pos d_head"]:
        """As attention reads them."""
        return {"q": self.turned_q, "k": self.turned_k, "v": self.v}[kind]


@dataclass(frozen=True)
class PartRun:
    """What every block did on some prompts."""

    tokens: Tokens
    blocks: tuple[BlockRun, ...]
    end: Float[Tensor, "batch pos d_model"]  # the stream behind the last block


class PartModel:
    """A subject as its parts, for pairs of prompts of equal length.

    Its `base` is the run that is changed, its `donor` the one that values come from.
    """

    def __init__(self, subject: Subject, pairs: Sequence[Asked], direction: Direction = "noising") -> None:
        """
        Args:
            direction: `noising` changes the base and takes from the counterfactual, `denoising` the other way round.

        Raises:
            ToolError: a prompt or answer that the model cannot read, a pair of unequal lengths, prompts between which
                there is no effect to share out, logits that are not finite, or parts that do not rebuild the model's.
        """
        self.subject, self.pairs, self.direction = subject, tuple(pairs), direction
        asked = PairAnswers(subject, pairs)
        foils = asked.foils  # refused before anything runs
        base, corrupted, source = (subject.tokenise([texts[i] for texts in map(_prompts, pairs)]) for i in range(3))
        _refuse_unequal(pairs, base, corrupted, source)
        run, looks = run_with_looks(subject, base)
        self._wide = working_type(run.logits)
        self.blocks = tuple(BlockMaps(subject, layer, look) for layer, look in enumerate(looks))
        self.n_pos, self.last = base.ids.shape[1], base.last
        # [d_model, batch, 2]: no other logit is ever needed
        self._answer_columns = self._wide(subject.W_U)[:, torch.stack([asked.answers, foils], -1).to(base.ids.device)]
        self.base, self.donor = self.run(base), self.run(source)
        other = self.donor if torch.equal(source.ids, corrupted.ids) else self.run(corrupted)
        self.clean, self.corrupted = (self.answers(one.end, self.all_pairs) for one in (self.base, other))
        _refuse_no_numbers(pairs, self.clean + self.corrupted)
        if direction == "denoising":
            _refuse_sources(pairs)
            self.base, self.donor = self.donor, self.base
        self.unchanged = self.clean if direction == "noising" else self.corrupted
        self.rounding = self._rounding(asked.differences(run.last_logits), run.last_logits.abs().max().item())

    @cached_property
    def gap(self) -> float:
        """Mean of clean minus corrupted (nats); a `ToolError` where there is none."""
        return gap_between(self.clean, self.corrupted)

    @property
    def all_pairs(self) -> Int[Tensor, " batch"]:
        """Their numbers."""
        return torch.arange(len(self.pairs), device=self.subject.device)

    @cached_property
    def first_differing(self) -> int:
        """A position in front of which both runs are one: the first at which any pair's prompts differ, or one ends."""
        differs = (self.base.tokens.ids != self.donor.tokens.ids).any(0).nonzero()[:, 0].tolist()
        return min([*differs[:1], self.first_last])

    @cached_property
    def first_last(self) -> int:
        """The first position at which a prompt ends: in the last block none in front of it is needed."""
        return int(self.last.min())

    def needed(self, layer: int, first: int) -> int:
        """From which position on the block's output is needed, where its input differs from `first` on."""
        return max(first, self.first_last) if layer == len(self.blocks) - 1 else first

    def run(self, tokens: Tokens) -> PartRun:
        """Prompts as wide as these pairs, every part kept."""
        positions = self.subject.architecture.positions()
        start = self.subject.embed(tokens.ids)
        resid = self._wide(start if positions is None else start + positions[: tokens.ids.shape[1]])
        blocks: list[BlockRun] = []
        for maps in self.blocks:
            reads = normed(maps.weights.norm1, resid)
            q, k, v = (maps.project(kind, reads) for kind in ("q", "k", "v"))
            turned_q, turned_k = maps.turned("q", q, 0), maps.turned("k", k, 0)
            z = maps.attend(turned_q, turned_k, v, 0)
            together = maps.together(z)
            attn_out = maps.attention_adds(together)
            mlp_out = maps.mlp_adds(maps.mlp_reads(resid, attn_out))
            blocks.append(BlockRun(resid, q, k, v, turned_q, turned_k, z, together, attn_out, mlp_out))
            resid = resid + attn_out + mlp_out
        return PartRun(tokens, tuple(blocks), resid)

    def through(
        self, layer: int, changed: Float[Tensor, "batch _ d_model"], of: Int[Tensor, " batch"], first: int
    ) -> Float[Tensor, "batch _ d_model"]:
        """The stream behind one block of runs that were the base's in front of it, but for some positions.

        Args:
            changed: The stream in front of the block at these positions, the first of which is `first`.
            of: Of which pair each row is.

        Returns:
            The stream at every position from `needed` on.
        """
        maps, base = self.blocks[layer], self.base.blocks[layer]
        start, end = self.needed(layer, first), first + changed.shape[1]
        reads = normed(maps.weights.norm1, changed)
        fresh = maps.turned("k", maps.project("k", reads), first), maps.project("v", reads)
        k, v = (
            torch.cat([own[of, :, :first], new, own[of, :, end:]], 2)
            for own, new in zip((base.turned_k, base.v), fresh, strict=True)
        )
        q, resid = base.turned_q[of, :, max(start, end) :], base.resid[of, max(start, end) :]
        if start < end:
            new = maps.turned("q", maps.project("q", reads[:, start - first :]), start)
            q, resid = torch.cat([new, q], 2), torch.cat([changed[:, start - first :], resid], 1)
        return maps.from_heads(resid, maps.attend(q, k, v, start))

    def to_the_end(
        self, layer: int, changed: Float[Tensor, "batch _ d_model"], of: Int[Tensor, " batch"], first: int
    ) -> Float[Tensor, " batch"]:
        """Logit differences of runs that differ from the base in front of this block; arguments as of `through`."""
        for later in range(layer, len(self.blocks)):
            changed = self.through(later, changed, of, first)
        return self.answers(changed, of)

    def answers(self, end: Float[Tensor, "batch _ d_model"], of: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Logit of the answer less that of the foil, from the stream behind the last block at the last positions."""
        offset = self.n_pos - end.shape[1]
        last = end[torch.arange(len(end), device=end.device), self.last[of] - offset]
        logits = (normed(self.subject.final_norm, last)[:, None] @ self._columns(of))[:, 0]
        both = soft_capped(logits, self.subject.logit_softcap)
        return both[:, 0] - both[:, 1]

    def _columns(self, of: Int[Tensor, " batch"]) -> Float[Tensor, "batch d_model 2"]:
        return rearrange(self._answer_columns[:, of], "model batch two -> batch model two")

    def _rounding(self, own: Float[Tensor, " batch"], largest: float) -> float:
        """Largest difference between the model's own answers and those of its parts."""
        error = (own - self.clean.cpu()).abs().max().item()
        allowed = TOLERANCE[self.subject.model.dtype] * largest
        if not error <= allowed:
            raise ToolError(
                f"Run part by part, the prompts' answers differ by {error:.2g} from the model's own (allowed "
                f"{allowed:.2g}).",
                mend="Load the model in float32, or use a plain checkpoint.",
            )
        return error


def _prompts(pair: Asked) -> tuple[str, str, str]:
    """Base, counterfactual, and where values come from."""
    return pair.base, pair.corrupted, pair.donor if isinstance(pair, Pair) else pair.corrupted


def _refuse_unequal(pairs: Sequence[Asked], base: Tokens, *others: Tokens) -> None:
    for other in others:
        for pair, one, two in zip(pairs, base.lengths, other.lengths, strict=True):
            if one != two:
                raise ToolError(
                    f"{pair.base!r} has {one} tokens and what it is compared with has {two}.",
                    mend="Give counterfactuals of the same length: parts are exchanged token by token.",
                )


def _refuse_no_numbers(pairs: Sequence[Asked], answers: Float[Tensor, " batch"]) -> None:
    for pair, found in zip(pairs, answers.isfinite().tolist(), strict=True):
        if not found:
            raise ToolError(
                f"On {pair.base!r} or its counterfactual the model's logits are not finite.",
                mend="Check the weights for NaN, or load the model in float32.",
            )


def _refuse_sources(pairs: Sequence[Asked]) -> None:
    if any(isinstance(pair, Pair) and pair.source not in ("", pair.corrupted) for pair in pairs):
        raise ToolError(
            "With direction `denoising` values come from the base, and a pair names another `source`.",
            mend="Leave `source` empty, or use direction `noising`.",
        )
