"""Activation patching of every part at every position: a map of where an answer is decided.

Each cell is one interchange (Meng et al. 2022; `patch` says what an effect is): the part's value at one position is
taken from the counterfactual, or in direction `denoising` the base's value is put into the counterfactual. All cells
are exact; what their runs have in common is computed once (`_sweep_runs.py`), so a map of all heads at all positions
costs a small part of running the model once per cell.

Prompts are run part by part from the named weights. So every sweep is checked against the model itself: some cells,
drawn at random, are measured again by running the model with the value written into it, and a sweep that differs is
refused. Cells in which nothing can move (in front of the first token that differs; in the last block, where a part at
an earlier position is read by nothing) are not run and have effect zero.

The pairs' prompts all have one length, so that a position is one place in all of them.
"""

import random
from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._pair_answers import Pair, gap_between
from ._part_runs import Direction, PartModel
from ._patch_places import SitePlace
from ._patching import Patching
from ._proof import TOLERANCE
from ._subject import Subject
from ._sweep_runs import Lane, SweepRuns, SweptKind, lanes_of

LARGEST_KEPT = 2**26  # numbers kept of base and counterfactual runs: 256 MiB in single precision
KEPT_PER_TOKEN = 12  # tensors as wide as the stream that a block's run keeps, both runs together


class PatchSweepArgs(ToolArgs):
    pairs: tuple[Pair, ...] = Field(
        description="Prompts with their counterfactuals, all of one length in tokens.", min_length=1
    )
    kinds: tuple[SweptKind, ...] = Field(
        ("resid_pre", "attn_out", "mlp_out"), description="Kinds of sites to patch, in every block.", min_length=1
    )
    positions: tuple[int, ...] = Field(
        (), description="Tokens to patch, counted from the end where negative; every one if none is named."
    )
    direction: Direction = Field(
        "noising",
        description="Write the source's value into the base, or (denoising) the base's into the counterfactual.",
    )
    spot_checks: int = Field(
        4, ge=1, le=1000, description="Cells of each kind to measure again by running the model itself (count)."
    )
    seed: int = Field(0, ge=0, description="Seed of which cells are measured again.")


class SweepGrid(Frozen):
    """One kind of site, in every block, at every head it has, at every position asked for."""

    kind: SweptKind = Field(description="Kind of site.")
    effect: tuple[tuple[tuple[float, ...], ...], ...] = Field(
        description="By block, head and position: mean over pairs of (clean - patched) / gap; denoising: (patched - "
        "corrupted) / gap (share). Kinds without heads have one."
    )
    effects: tuple[tuple[tuple[tuple[float, ...], ...], ...], ...] = Field(
        description="The same of each pair (share of the mean gap)."
    )


class PatchSweepResult(ToolResult):
    grids: tuple[SweepGrid, ...] = Field(description="One per kind, in the order asked.")
    positions: tuple[int, ...] = Field(description="Positions of the grids, counted from the start.")
    tokens: tuple[str, ...] = Field(description="What stands there in the first pair's base.")
    clean: tuple[float, ...] = Field(description="Logit difference of each base prompt (nats).")
    corrupted: tuple[float, ...] = Field(description="The same logit difference on each counterfactual (nats).")
    gap: float = Field(description="Mean of clean minus corrupted (nats).")
    n_cells: int = Field(description="Cells of all grids (count).")
    no_op_change: float = Field(
        description="Largest change of a logit difference when a prompt's own values are written: rounding (nats)."
    )
    spot_checked: int = Field(description="Cells measured again by running the model itself (count).")
    spot_difference: float = Field(description="Largest difference of those, over pairs (share of the gap).")
    n_pairs: int = Field(description="Pairs that ran (count).")


@tool
def patch_sweep(subject: Subject, args: PatchSweepArgs, progress: Progress = silent) -> PatchSweepResult:
    """Patch every part at every position, one at a time, and map how far each moves the answer.

    Raises:
        ToolError: prompts of several lengths, a position that they lack, a prompt or answer that the model cannot read,
            pairs without an effect to share out, or a sweep that is not what the model itself does.
    """
    n_pos = _one_length(subject, args.pairs)
    positions = _positions(args.positions, n_pos)
    kinds = tuple(dict.fromkeys(args.kinds))
    lanes: list[Lane] = []
    drops, no_ops, models = [], [0.0], []
    for some in _split(subject, args.pairs, n_pos):
        model = PartModel(subject, some, args.direction)
        sweep, lanes = SweepRuns(model), lanes_of(model, kinds)
        towards = 1 if args.direction == "noising" else -1
        drops.append(towards * (model.unchanged - sweep.answers(lanes, positions, progress)))
        no_ops.append((sweep.unpatched(kinds, positions[0]) - model.unchanged).abs().max().item())
        models.append((model.clean, model.corrupted))
    clean, corrupted = (torch.cat(part) for part in zip(*models, strict=True))
    gap = gap_between(clean, corrupted)
    found = torch.cat(drops, -1).cpu()  # [lane, layer, position, pair]
    checked = _Check(subject, args, lanes, positions, found)
    progress(len(positions), len(positions), "swept")
    effects = found / gap
    return PatchSweepResult(
        grids=tuple(_grid(kind, effects[[one.kind == kind for one in lanes]]) for kind in kinds),
        positions=positions,
        tokens=_texts(subject, args.pairs[0], positions),
        clean=tuple(clean.tolist()),
        corrupted=tuple(corrupted.tolist()),
        gap=gap,
        n_cells=found[..., 0].numel(),
        no_op_change=max(no_ops),
        spot_checked=checked.n_cells,
        spot_difference=checked.difference / abs(gap),
        n_pairs=len(args.pairs),
    )


class _Check:
    """Some cells measured again by running the model with the value written into it."""

    def __init__(
        self,
        subject: Subject,
        args: PatchSweepArgs,
        lanes: Sequence[Lane],
        positions: Sequence[int],
        found: Float[Tensor, "_ layer pos batch"],
    ) -> None:
        """
        Raises:
            ToolError: they differ by more than rounding.
        """
        drawn = list(_drawn(lanes, found.shape[1], len(positions), args.spot_checks, args.seed))
        names = {cell: _site(lanes[cell[0]], cell[1]) for cell in drawn}
        named = [str(positions[at]) for at in sorted({at for *_, at in drawn})]
        places = [SitePlace(name) for name in dict.fromkeys(names.values())]
        patching = Patching(subject, args.pairs, places, named, args.direction)
        self.n_cells, self.difference = len(drawn), 0.0
        allowed = TOLERANCE[subject.model.dtype] * max(1.0, patching.largest_logit)
        for lane, layer, at in drawn:
            name, position = names[lane, layer, at], str(positions[at])
            due, _ = patching.effect_of(position, {name: patching.donor_values(name, position, "source", None)})
            difference = (found[lane, layer, at] - torch.tensor(due)).abs().max().item()
            self.difference = max(self.difference, difference)
            if not difference <= allowed:
                raise ToolError(
                    f"Patching {name} at {position} moves an answer by {difference:.2g} nats more or less in the sweep "
                    f"than in the model itself (allowed {allowed:.2g}).",
                    mend="Load the model in float32, or use `patch`, which runs the model itself.",
                )


def _drawn(
    lanes: Sequence[Lane], n_layers: int, n_positions: int, count: int, seed: int
) -> "dict[tuple[int, int, int], None]":
    """Cells of every kind, by lane, block and place among the positions."""
    cells: dict[tuple[int, int, int], None] = {}
    generator = random.Random(seed)
    for kind in dict.fromkeys(one.kind for one in lanes):
        mine = [lane for lane, one in enumerate(lanes) if one.kind == kind]
        n_cells = len(mine) * n_layers * n_positions
        for cell in generator.sample(range(n_cells), min(count, n_cells)):
            lane, rest = divmod(cell, n_layers * n_positions)
            cells[(mine[lane], *divmod(rest, n_positions))] = None
    return cells


def _site(lane: Lane, layer: int) -> str:
    return f"{lane.kind}.{layer}" + (f".{lane.head}" if lane.kind in ("head", "q", "k", "v") else "")


def _one_length(subject: Subject, pairs: Sequence[Pair]) -> int:
    lengths = {len(subject.reader.encode(text)) for pair in pairs for text in (pair.base, pair.corrupted, pair.donor)}
    if len(lengths) > 1:
        raise ToolError(
            f"The prompts have {', '.join(map(str, sorted(lengths)))} tokens.",
            mend="Sweep prompts of one length at a time; `patch` takes several, at positions such as `last`.",
        )
    return lengths.pop()


def _positions(asked: Sequence[int], n_pos: int) -> tuple[int, ...]:
    for position in asked:
        if not -n_pos <= position < n_pos:
            raise ToolError(f"Position {position} lies outside the prompts.", mend=f"They have tokens 0..{n_pos - 1}.")
    return tuple(sorted({position % n_pos for position in asked} or range(n_pos)))


def _split(subject: Subject, pairs: Sequence[Pair], n_pos: int) -> list[Sequence[Pair]]:
    """Pairs in parts of which all that is kept of their runs fits."""
    shape = subject.shape
    size = max(1, LARGEST_KEPT // (shape.n_layers * n_pos * shape.d_model * KEPT_PER_TOKEN))
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]


def _grid(kind: SweptKind, effects: Float[Tensor, "head layer pos batch"]) -> SweepGrid:
    by_layer = effects.transpose(0, 1)
    return SweepGrid.model_validate({"kind": kind, "effect": by_layer.mean(-1).tolist(), "effects": by_layer.tolist()})


def _texts(subject: Subject, pair: Pair, positions: Sequence[int]) -> tuple[str, ...]:
    ids = subject.reader.encode(pair.base)
    return subject.token_strings([ids[position] for position in positions])
