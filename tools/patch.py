"""Activation patching: run one prompt with a site's value taken from another, and see how far the answer moves.

Vig et al. 2020; Meng et al. 2022; interchange intervention after Geiger et al. 2021. In direction `noising` the base
prompt is run and the donor's value written into it; a pair's effect = (clean - patched) / gap, with each term the logit
of the base's answer minus the logit of the counterfactual's, and gap the mean over pairs of clean minus corrupted:
0 means nothing moved, 1 means as far as running the counterfactual itself. In direction `denoising` the counterfactual
is run and the base's value written into it; effect = (patched - corrupted) / gap, 1 means all of the answer restored.
Noising finds what the answer needs, denoising what is enough for it (Heimersheim, Nanda 2024): they differ where parts
stand in for each other.

Sites (residual stream, outputs of attention, MLPs and heads, queries, keys, values, neurons) are replaced; features of
a dictionary, written LAYER/FEATURE, are changed by adding to what they write (`_patch_places.py`).

Besides a donor prompt's own value, a place can be given zero, the mean of reference prompts, the value of one random
other prompt (`resample`), or what a class of prompts has in common: `class_mean` adds the difference of two class means
of labelled reference prompts to the base's value. What one prompt has and its class does not is averaged away, so a
moved answer shows that the site holds the class (a linear test on entities held out from the means; Sutter et al. 2025
show why the map must be linear and the entities held out).

With nodes taken out (`without`), clean, corrupted and patched are those of the subject in which they write nothing, and
gap is that of the whole subject: what stands in for a part shows only there, and what little a broken subject still
does counts for little (Wang et al. 2022; McGrath et al. 2023).
"""

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from ._base import NO_GAP, Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._circuit_lesions import nodes_named, without
from ._dictionary_file import dictionary_of
from ._pair_answers import Pair, gap_of
from ._patch_places import Place, places_of
from ._patching import Direction, Labelled, Patching, Reference, Values
from ._subject import Subject

MIN_CLASS_SIZE = 2


class PatchArgs(ToolArgs):
    pairs: tuple[Pair, ...] = Field(description="Prompts with their counterfactuals.", min_length=1)
    sites: tuple[str, ...] = Field(
        description="Sites, or features written LAYER/FEATURE, to patch one at a time unless `joint`.", min_length=1
    )
    positions: tuple[str, ...] = Field(
        ("last",), description="Tokens to patch: last, entity, differs, or an integer.", min_length=1
    )
    joint: bool = Field(False, description="Patch all sites together instead of one at a time.")
    direction: Direction = Field(
        "noising",
        description="Patch the base with the source's value, or (denoising) the counterfactual with the base's.",
    )
    value: Literal["source", "mean", "zero", "resample", "class_mean"] = Field(
        "source",
        description="What is written: the source's value, the mean over the reference prompts, zero, the value of one "
        "random other prompt, or the base's own value moved by the difference of two class means.",
    )
    reference: tuple[Labelled, ...] = Field(
        (),
        description="Prompts behind means; and behind `resample`, which else draws from other pairs' sources.",
    )
    shuffle_labels: bool = Field(
        False, description="Control for `class_mean`: give the reference prompts' entities each other's labels."
    )
    random_draws: int = Field(
        0, ge=0, le=1000, description="Control: random directions of the same norm at the same place (count)."
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of random directions, shuffled labels and `resample`.")
    without: tuple[str, ...] = Field(
        (), description="Heads and MLPs (head.LAYER.HEAD, mlp_out.LAYER) that write nothing: a copy of the model runs."
    )
    dictionary: str = Field(
        "transcoders",
        description="Of named features: `transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH.",
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )

    @model_validator(mode="after")
    def _has_what_the_value_needs(self) -> "PatchArgs":
        if self.value in ("mean", "class_mean") and not self.reference:
            raise ValueError(f"value `{self.value}` needs reference prompts")
        if self.shuffle_labels and self.value != "class_mean":
            raise ValueError("`shuffle_labels` is a control of value `class_mean` alone")
        if self.value == "class_mean":
            counts: dict[str, int] = {}
            for entry in self.reference:
                counts[entry.label] = counts.get(entry.label, 0) + 1
            due = {label for pair in self.pairs for label in (pair.base_label, pair.source_label)}
            few = sorted(label for label in due if counts.get(label, 0) < MIN_CLASS_SIZE)
            if few:
                raise ValueError(
                    f"classes with fewer than {MIN_CLASS_SIZE} reference prompts: {', '.join(map(repr, few))}"
                )
        return self


class PatchCell(Frozen):
    """One place, patched over all pairs."""

    site: str = Field(description="Canonical name; several joined by + where patched together.")
    position: str = Field(description="Which tokens.")
    effect: float = Field(
        description="Mean over pairs of (clean - patched) / gap; denoising: (patched - corrupted) / gap (share)."
    )
    moved: float = Field(description="Pairs whose most likely token became the foil; denoising: the answer (share).")
    effects: tuple[float, ...] = Field(description="Effect of each pair (share of the mean gap).")
    drops: tuple[float, ...] = Field(
        description="Clean minus patched of each pair; denoising: patched minus corrupted (nats of logit difference)."
    )
    answers_moved: tuple[bool, ...] = Field(
        description="Whether each pair's most likely token became the foil; denoising: the answer."
    )
    random_effects: tuple[float, ...] = Field(description="Mean effect of each random draw (share of the mean gap).")


class PatchResult(ToolResult):
    cells: tuple[PatchCell, ...] = Field(description="Every site at every position, in the order asked.")
    clean: tuple[float, ...] = Field(description="Logit difference of each base prompt (nats).")
    corrupted: tuple[float, ...] = Field(description="The same logit difference on each counterfactual (nats).")
    gap: float = Field(description="Mean of clean minus corrupted in the whole subject (nats).")
    clean_correct: tuple[bool, ...] = Field(description="Whether each base prompt's most likely token is its answer.")
    no_op_change: float = Field(
        description="Largest change of any logit when a prompt is patched into itself: 0 is due."
    )
    n_pairs: int = Field(description="Pairs that ran (count).")


@tool
def patch(subject: Subject, args: PatchArgs, progress: Progress = silent) -> PatchResult:
    """Put a value from one prompt into the run of another and measure how far the answer moves.

    Raises:
        ToolError: unknown site, feature or position, an entity that is not in its prompt, unequal numbers of tokens
            between base and source at a position, an answer the tokenizer splits, a pair whose answers are one token,
            no other prompt to `resample` from, or a place that is taken out.
    """
    out = nodes_named(subject, args.without)
    places = places_of(
        subject, args.sites, lambda: dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    )
    names = [place.name for place in places]
    if both := sorted(out & {*names}):
        raise ToolError(f"{', '.join(both)} cannot be patched where it is taken out.", mend="Name another site.")
    groups = [tuple(names)] if args.joint else [(name,) for name in names]
    runs = without(subject, out) if out else subject
    try:
        patching = Patching(runs, args.pairs, places, args.positions, args.direction)
    except ToolError as error:
        if not out or NO_GAP not in error.message:
            raise
        mend = "Choose counterfactuals that change the answer, or take out less."
        raise ToolError(f"{error.message} {', '.join(sorted(out))} taken out.", mend=mend) from None
    gap = gap_of(subject, args.pairs) if out else patching.gap
    reference = _reference(runs, args, places) if args.reference else None
    total = len(groups) * len(args.positions)
    cells: list[PatchCell] = []
    no_op = 0.0
    for position in args.positions:
        for group in groups:
            progress(len(cells), total, f"{'+'.join(group)} at {position}")
            own = {name: patching.base_values(name, position) for name in group}
            no_op = max(no_op, patching.logits_changed_by(position, own))
            donor = {name: patching.donor_values(name, position, args.value, reference, args.seed) for name in group}
            cells.append(_cell(patching, position, group, donor, args, gap))
    progress(total, total, "patched")
    return PatchResult(
        cells=tuple(cells),
        clean=tuple(patching.clean.tolist()),
        corrupted=tuple(patching.corrupted.tolist()),
        gap=gap,
        clean_correct=tuple(patching.clean_correct.tolist()),
        no_op_change=no_op,
        n_pairs=len(args.pairs),
    )


def _cell(
    patching: Patching, position: str, group: tuple[str, ...], donor: Values, args: PatchArgs, gap: float
) -> PatchCell:
    drops, moved = patching.effect_of(position, donor)
    draws = [
        patching.random_effect_of(position, donor, seed=args.seed * 1_000_003 + draw)
        for draw in range(args.random_draws)
    ]
    effects = [drop / gap for drop in drops]
    return PatchCell(
        site="+".join(group),
        position=position,
        effect=sum(effects) / len(effects),
        moved=sum(moved) / len(moved),
        effects=tuple(effects),
        drops=tuple(drops),
        answers_moved=tuple(moved),
        random_effects=tuple(sum(draw) / len(draw) / gap for draw in draws),
    )


def _reference(subject: Subject, args: PatchArgs, places: Sequence[Place]) -> Reference:
    labels = [entry.label for entry in args.reference]
    if args.shuffle_labels:
        labels = shuffled_by_entity([entry.entity or entry.prompt for entry in args.reference], labels, args.seed)
    return Reference(
        subject, [e.prompt for e in args.reference], [e.entity for e in args.reference], labels, places, args.positions
    )


def shuffled_by_entity(entities: list[str], labels: list[str], seed: int) -> list[str]:
    """Labels exchanged between entities: prompts about one entity share a label, and classes keep their sizes."""
    label_of = dict(zip(entities, labels, strict=True))
    names = list(label_of)
    drawn = [label_of[name] for name in names]
    random.Random(seed).shuffle(drawn)
    given = dict(zip(names, drawn, strict=True))
    return [given[entity] for entity in entities]
