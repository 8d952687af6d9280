"""Patch one subspace of a component: is it these directions that carry what the component tells the rest of the model?

Interchange intervention in a subspace (Geiger et al. 2021, 2023): with x the base's value, y the donor's and B an
orthonormal basis, x + BᵀB(y - x) is written. A pair's effect = (clean - patched) / gap, as in `patch`. Bases are given,
taken from class means, or learned by distributed alignment search; what is learned is learned from discovery pairs, and
all that is reported of effects is measured on other pairs.

Beside the subspace always stand: its part in the row space of the component's outgoing matrix and its part in the null
space, each patched alone (`_subspaces.py` tells which matrix, and where there is none); the whole component, patched;
random subspaces of as many dimensions, exchanged in the same way; and random pushes, which move each token as far as
the exchange does. An effect that its row-space part does not keep is named the interpretability illusion (Makelov,
Lange, Nanda 2023, "Is This the Subspace You Are Looking for?"); so is, under another name, one that exceeds what the
whole component does.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ._alignment_search import Search
from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._pair_answers import Pair
from ._patch_places import SitePlace
from ._patching import Patching
from ._site_width import width_of
from ._sites import refuse_read_only
from ._subject import Subject
from ._subspace_runs import Exchange, Patched
from ._subspace_sources import Found, Recipe, find_subspace
from ._subspace_verdict import Failure, IllusionRule, Verdict, failures_of, verdict_of
from ._subspaces import Connection, Outgoing, connection, given_subspace, orthonormal

MIN_DRAWS = 20
Finite = Annotated[float, Field(allow_inf_nan=False)]


class SubspacePatchArgs(ToolArgs):
    pairs: tuple[Pair, ...] = Field(
        description="Prompts with their counterfactuals that effects are measured on.", min_length=1
    )
    site: str = Field(description="Component whose subspace is patched.")
    positions: tuple[str, ...] = Field(
        ("last",),
        description="Tokens to patch, one place after another: last, entity, differs, or an integer.",
        min_length=1,
    )
    direction: Literal["given", "difference", "das"] = Field(
        description="Where the subspace comes from: `vectors`, the difference of class means, or alignment search."
    )
    vectors: tuple[tuple[Finite, ...], ...] = Field((), description="Given directions, each as wide as the site.")
    discovery: tuple[Pair, ...] = Field(
        (),
        description="Pairs that the subspace is learned from, none of them among `pairs`. Labels name classes; "
        "without them bases are one class and sources the other.",
    )
    dimension: int = Field(1, ge=1, le=100_000, description="Dimensions to learn (count); `given` has its vectors'.")
    search: Search = Field(Search.model_validate({}), description="How `das` searches.")
    shuffle: bool = Field(
        False, description="Control: learn with the answers, or the classes, of discovery pairs dealt out anew."
    )
    rule: IllusionRule = Field(IllusionRule.model_validate({}), description="What an effect has to show.")
    random_draws: int = Field(
        MIN_DRAWS, ge=MIN_DRAWS, le=1000, description="Control: random subspaces, and random pushes (count of each)."
    )
    keep_basis: bool = Field(False, description="Whether the basis is part of the result.")
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Seed of the search, of its pairs' order and of the random controls."
    )

    @model_validator(mode="after")
    def _has_what_the_direction_needs(self) -> "SubspacePatchArgs":
        if (self.direction == "given") != bool(self.vectors):
            raise ValueError("`given` needs `vectors`, and no other direction takes them")
        if (self.direction == "given") == bool(self.discovery):
            raise ValueError("`difference` and `das` need discovery pairs, and `given` takes none")
        if self.shuffle and self.direction == "given":
            raise ValueError("`shuffle` is a control of what is learned: `difference` or `das`")
        both = {frozenset((p.base, p.donor)) for p in self.pairs} & {
            frozenset((p.base, p.donor)) for p in self.discovery
        }
        if both:
            raise ValueError(f"{len(both)} of the pairs are discovery pairs too; hold out those that are measured")
        return self


class SubspaceCell(Frozen):
    """The subspace at one position."""

    position: str = Field(description="Which tokens.")
    subspace: Patched = Field(description="The subspace itself.")
    row_part: Patched = Field(description="Its part in the outgoing matrix's row space, alone.")
    null_part: Patched = Field(description="Its part in the null space, which the rest of the model cannot see, alone.")
    component: Patched = Field(description="The whole component.")
    row_share: float = Field(description="Squared length of the basis that lies in the row space (share).")
    random_effects: tuple[float, ...] = Field(
        description="Control: mean effect of each random subspace of as many dimensions (share of the mean gap)."
    )
    random_pushes: tuple[float, ...] = Field(
        description="Control: mean effect of moving each token as far in a random direction (share of the mean gap)."
    )
    verdict: Verdict = Field(description="Whether it holds, and if not, why; `illusion` names the disconnected part.")
    failed: tuple[Failure, ...] = Field(description="Every test of the rule that it failed.")
    discovery_effect: float | None = Field(description="Effect on the discovery pairs (share of their gap).")
    search_losses: tuple[float, float] | None = Field(description="Loss at the first and the last step (nats).")
    basis: tuple[tuple[float, ...], ...] | None = Field(description="Orthonormal basis, where asked for.")


class SubspacePatchResult(ToolResult):
    site: str = Field(description="Canonical name of the component.")
    direction: Literal["given", "difference", "das"] = Field(description="Where the subspace came from.")
    dimension: int = Field(description="Dimensions of the subspace (count).")
    width: int = Field(description="Dimensions of the component (count).")
    outgoing: Outgoing = Field(
        description="Matrix that the rest of the model sees the component through: `stream` where it is the stream "
        "itself, `nonlinear` where no one matrix reads it; both then count as connected."
    )
    connected: int = Field(description="Dimensions of the component that the rest of the model can see (count).")
    cells: tuple[SubspaceCell, ...] = Field(description="Every position, in the order asked.")
    rule: IllusionRule = Field(description="Thresholds behind the verdicts.")
    clean: tuple[float, ...] = Field(description="Logit difference of each base prompt (nats).")
    corrupted: tuple[float, ...] = Field(description="The same logit difference on each counterfactual (nats).")
    gap: float = Field(description="Mean of clean minus corrupted (nats).")
    clean_correct: tuple[bool, ...] = Field(description="Whether each base prompt's most likely token is its answer.")
    no_op_change: float = Field(description="Largest change of any logit when a base is patched into itself: 0 is due.")
    n_pairs: int = Field(description="Pairs that effects were measured on (count).")
    n_discovery: int = Field(description="Pairs that the subspace was learned from (count).")
    n_seen_entities: int = Field(
        description="Pairs with an entity at position `entity` that discovery pairs name too (count)."
    )


@tool
def subspace_patch(subject: Subject, args: SubspacePatchArgs, progress: Progress = silent) -> SubspacePatchResult:
    """Patch given or learned directions of a component, and tell whether they carry the effect or only seem to.

    Raises:
        ToolError: unknown site or position, vectors that do not fit it, more dimensions than the component or its
            classes have, or a pair that cannot be measured (see `patch`).
    """
    site = subject.site(args.site)
    refuse_read_only([site])
    width = width_of(subject, site)
    given = _checked(subject, args, str(site), width)
    place = [SitePlace(str(site))]
    patching = Patching(subject, args.pairs, place, args.positions)
    learning = Patching(subject, args.discovery, place, args.positions) if args.discovery else None
    seen = connection(subject, site)
    cells: list[SubspaceCell] = []
    no_op = 0.0
    for position in args.positions:
        progress(len(cells), len(args.positions), f"{site} at {position}")
        if learning is None:
            assert given is not None, "a subspace has a source"
            found = Found(given)
        else:
            found = find_subspace(Exchange(learning, str(site), position), site, _recipe(args), progress)
        exchange = Exchange(patching, str(site), position)
        cells.append(_cell(exchange, found, seen, args))
        no_op = max(no_op, exchange.no_op_change(found.basis))
    progress(len(cells), len(cells), "patched")
    named = {word for p in args.discovery for word in (p.base_entity, p.source_entity or p.base_entity) if word}
    return SubspacePatchResult(
        site=str(site),
        direction=args.direction,
        dimension=cells[0].subspace.dimension,
        width=width,
        outgoing=seen.outgoing,
        connected=width if seen.seen is None else len(seen.seen),
        cells=tuple(cells),
        rule=args.rule,
        clean=tuple(patching.clean.tolist()),
        corrupted=tuple(patching.corrupted.tolist()),
        gap=patching.gap,
        clean_correct=tuple(patching.clean_correct.tolist()),
        no_op_change=no_op,
        n_pairs=len(args.pairs),
        n_discovery=len(args.discovery),
        n_seen_entities=sum(bool({p.base_entity, p.source_entity} & named) for p in args.pairs),
    )


def _checked(
    subject: Subject, args: SubspacePatchArgs, site: str, width: int
) -> Float[Tensor, "feature d_model"] | None:
    """The given subspace, if any; refused before anything runs."""
    if args.dimension > width:
        raise ToolError(f"`{site}` has {width} dimensions.", mend=f"Let `dimension` be 1..{width}.")
    if not args.vectors:
        return None
    for vector in args.vectors:
        if len(vector) != width:
            raise ToolError(f"A vector has {len(vector)} numbers, but `{site}` has {width}.", mend=f"Give {width}.")
    return given_subspace(torch.tensor(args.vectors, dtype=torch.float64)).float().to(subject.device)


def _recipe(args: SubspacePatchArgs) -> Recipe:
    assert args.direction != "given", "a given subspace is not learned"
    return Recipe(
        direction=args.direction, dimension=args.dimension, search=args.search, shuffle=args.shuffle, seed=args.seed
    )


def _cell(exchange: Exchange, found: Found, seen: Connection, args: SubspacePatchArgs) -> SubspaceCell:
    basis = found.basis
    row = seen.row_part(basis)
    parts = (basis, orthonormal(row), orthonormal(basis - row))
    whole, row_part, null_part = map(exchange.of_subspace, parts)
    component = exchange.of_component()
    seeds = [args.seed * 1_000_003 + draw for draw in range(args.random_draws)]
    spaces, pushes = exchange.of_random_subspaces(basis, seeds), exchange.of_random_pushes(basis, seeds)
    failed = failures_of(whole.effect, row_part.effect, component.effect, spaces + pushes, args.rule)
    return SubspaceCell(
        position=exchange.position,
        subspace=whole,
        row_part=row_part,
        null_part=null_part,
        component=component,
        row_share=(row.norm() ** 2 / len(basis)).item(),
        random_effects=spaces,
        random_pushes=pushes,
        verdict=verdict_of(failed),
        failed=failed,
        discovery_effect=found.effect,
        search_losses=found.losses,
        basis=tuple(map(tuple, basis.tolist())) if args.keep_basis else None,
    )
