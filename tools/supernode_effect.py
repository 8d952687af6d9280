"""A supernode's causal test: exchange a group of features for another's, or take it out, and see how answers move.

`swap` asks whether a group stands for a value: in a prompt with that value its features are given the activations that
they have on a source prompt with another value, and so are the features of the other value's group. If the groups are
what the model reads the value from, the answer becomes the other value's. `ablate` asks whether a group is needed: its
features are set to 0 wherever they are active. The rest of the model runs live, what a dictionary misses stays.

Putting another value's features in moves answers by itself, whatever is done to the group. So what counts for `swap` is
what taking the group out adds to that: a pair's effect = (others alone - all changed) / gap, and for `ablate` (clean -
changed) / gap, with gap the mean over pairs of clean minus corrupted: 0 means nothing moved, 1 means as far as the
counterfactual prompt itself. What is compared is, for `swap`, the logit of the answer less that
of the foil; for `ablate`, where nothing says which answer comes instead, the logit of the answer less the mean over the
vocabulary, which is what links of attribution graphs are about. A probability would not do: at 1 it hides every loss.
Interventions on features after Ameisen et al. 2025, "Circuit Tracing"; exchange of values after Geiger et al. 2021.

Controls: the same run with the prompt itself as source, which must change no bit; and random features of the same
layers that fire on these prompts and are in no group. For `ablate` they are groups that are taken out as this one is,
each feature at its own activations, matched by layer in number and in how much they write (`_supernode_random.py`): is
it these features that are needed, or any as large? For `swap` they write at the group's tokens vectors as long as what
the group adds: is it what is put in, or any push as long? Where a layer has too few such features, nothing is measured.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolResult, silent, tool
from ._dictionary_file import dictionary_of
from ._pair_answers import PairAnswers, gap_between
from ._subject import Subject
from ._supernode_random import Drawn
from ._supernode_runs import SupernodeRuns, group_of

Mode = Literal["swap", "ablate"]


class SupernodePair(Frozen):
    """A prompt with the supernode's value, and its counterfactual."""

    base: str = Field(description="Prompt that is run and changed.")
    corrupted: str = Field(description="Counterfactual of the base: defines the gap.")
    answer: str = Field(description="The base's next word.")
    foil: str = Field(description="The counterfactual's next word.")
    source: str = Field("", description="Swap: prompt that activations are taken from; the counterfactual where empty.")
    counterpart: str = Field("", description="Swap: name of the group, among `counterparts`, of the source's value.")
    cluster: str = Field("", description="Pairs with equal names are not independent; statistics count them as one.")

    @property
    def donor(self) -> str:
        """The prompt that activations come from."""
        return self.source or self.corrupted

    def idle_as(self, mode: Mode) -> str:
        """Why the pair could show nothing whatever its features do, or nothing."""
        if _same(self.base, self.corrupted):
            return f"the counterfactual of {self.base!r} is that prompt itself: give another"
        if mode == "swap" and _same(self.base, self.donor):
            return f"the source of {self.base!r} is that prompt itself, which exchanges nothing: take another"
        if mode == "swap" and _same(self.answer, self.foil):
            return f"{self.base!r} and its counterfactual have one answer, {self.answer!r}: give two different words"
        return ""


class SupernodeEffectArgs(ToolArgs):
    supernode: str = Field(description="Its name; for the reader.", min_length=1, max_length=200)
    features: tuple[str, ...] = Field(description="Its features: LAYER/FEATURE.", min_length=1)
    mode: Mode = Field(description="Exchange it for each pair's counterpart, or take it out.")
    pairs: tuple[SupernodePair, ...] = Field(description="Prompts with their counterfactuals.", min_length=1)
    counterparts: dict[str, tuple[str, ...]] = Field({}, description="Swap: by name the features of other groups.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    random_draws: int = Field(
        0, ge=0, le=1000, description="Control: groups of random features, as described above (count)."
    )
    seed: int = Field(0, ge=0, description="Seed of the random features.")

    @model_validator(mode="after")
    def _names_what_it_swaps(self) -> "SupernodeEffectArgs":
        named = {pair.counterpart for pair in self.pairs} - {""}
        if self.mode == "ablate" and (named or self.counterparts):
            raise ValueError("`ablate` takes no counterparts")
        if unknown := sorted(named - set(self.counterparts)):
            raise ValueError(f"pairs name counterparts that are not given: {', '.join(map(repr, unknown))}")
        return self

    @model_validator(mode="after")
    def _changes_something(self) -> "SupernodeEffectArgs":
        if idle := next(filter(None, (pair.idle_as(self.mode) for pair in self.pairs)), ""):
            raise ValueError(idle)
        own = _places(self.features)
        for name in dict.fromkeys(pair.counterpart for pair in self.pairs):
            if name and _places(self.counterparts[name]) <= own:
                raise ValueError(
                    f"counterpart {name!r} has no feature that the supernode has not, so nothing would be put in: "
                    "name a group with features of its own"
                )
        return self


class SupernodeCell(Frozen):
    """The supernode over all pairs; the same form as one place of an activation patch."""

    site: str = Field(description="The supernode.")
    position: str = Field(description="Where it was changed: wherever it is active.")
    effect: float = Field(description="Mean over pairs of (before - changed) / gap (share).")
    moved: float = Field(description="Pairs whose answer moved (share).")
    effects: tuple[float, ...] = Field(description="Effect of each pair (share of the mean gap).")
    drops: tuple[float, ...] = Field(
        description="Before minus changed of each pair (nats); before is clean, or for `swap` with the others put in."
    )
    answers_moved: tuple[bool, ...] = Field(
        description="Per pair whether the most likely token is the foil and was not with the others alone; for "
        "`ablate`, whether it was the answer and is no longer."
    )
    random_effects: tuple[float, ...] = Field(description="Mean effect of each random group (share of the mean gap).")


class SupernodeEffectResult(ToolResult):
    cells: tuple[SupernodeCell, ...] = Field(description="One cell: the supernode.")
    clean: tuple[float, ...] = Field(
        description="Per base prompt the logit of the answer, less that of the foil or, for `ablate`, the mean (nats)."
    )
    corrupted: tuple[float, ...] = Field(description="The same on each counterfactual (nats).")
    gap: float = Field(description="Mean of clean minus corrupted (nats).")
    clean_correct: tuple[bool, ...] = Field(description="Whether each base prompt's most likely token is its answer.")
    kept_answer: tuple[bool, ...] = Field(description="Whether each base prompt's answer is still most likely.")
    idle: tuple[bool, ...] = Field(description="Pairs in which nothing changed: no feature is active there.")
    no_op_change: float = Field(
        description="Largest change of any logit when groups are given what they have on the prompt itself: 0 is due."
    )
    others_alone: float = Field(
        description="Swap: mean effect of putting the other groups in alone (share of the gap); 0 for ablate."
    )
    together: float = Field(description="Mean effect of all that was changed (share of the gap).")
    moved_together: float | None = Field(
        description="Swap: pairs whose most likely token is the foil with all changed (share); none for ablate."
    )
    n_pairs: int = Field(description="Pairs that ran (count).")
    n_alive: int = Field(description="Other features of the same layers that fire on these prompts (count).")
    size: float = Field(
        description="Summed length of what each of its features writes, over all base prompts and tokens as they are."
    )
    random_groups: tuple[tuple[str, ...], ...] = Field(
        description="Ablate: features of each random group, in the order of their effects; none for swap, whose random "
        "features write what is as long as what the group adds."
    )
    random_sizes: tuple[float, ...] = Field(description="Ablate: the `size` of each random group; none for swap.")
    dictionary: str = Field(description="Dictionary whose features were changed.")
    dictionary_digest: str = Field(description="SHA-256 of that dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")


@tool
def supernode_effect(subject: Subject, args: SupernodeEffectArgs, progress: Progress = silent) -> SupernodeEffectResult:
    """Exchange a group of features for another's, or take it out, and measure how far answers move, beside random ones.

    Raises:
        ToolError: a prompt or word that the model cannot read, no such feature or one named twice, other active
            features too few or too small for the random groups, or pairs without a gap.
    """
    dictionary = dictionary_of(subject, args.dictionary, on_twin=True, force=args.force_dictionary)
    own = group_of(dictionary, args.features)
    others = {name: group_of(dictionary, features) for name, features in args.counterparts.items()}
    put_in = [others[pair.counterpart] if pair.counterpart else {} for pair in args.pairs]
    asked = PairAnswers(subject, args.pairs)
    if args.mode == "swap":
        _ = asked.foils  # refused before anything runs
    progress(0, 2 + args.random_draws, f"running {len(args.pairs)} pairs")
    runs = SupernodeRuns(
        subject,
        dictionary,
        [pair.base for pair in args.pairs],
        [pair.donor for pair in args.pairs] if args.mode == "swap" else None,
        own,
        put_in,
    )
    value = asked.differences if args.mode == "swap" else asked.heights
    clean, corrupted = value(runs.logits), value(asked.corrupted_logits())
    gap = gap_between(clean, corrupted)
    progress(1, 2 + args.random_draws, args.mode)
    changed, alone = runs.changed(), runs.others_alone()
    before = value(alone)  # without anything put in, the clean prompt
    groups = runs.random_groups(args.random_draws, args.seed) if args.mode == "ablate" else ()
    drawn: list[float] = []
    for logits in _controls(runs, args, groups):
        progress(2 + len(drawn), 2 + args.random_draws, "random features")
        drawn.append((before - value(logits)).mean().item() / gap)
    right, still = asked.right(runs.logits), asked.right(changed)
    moved = asked.foiled(changed) & ~asked.foiled(alone) if args.mode == "swap" else right & ~still
    return SupernodeEffectResult(
        cells=(_cell(args.supernode, (before - value(changed)).tolist(), moved.tolist(), gap, drawn),),
        clean=tuple(clean.tolist()),
        corrupted=tuple(corrupted.tolist()),
        gap=gap,
        clean_correct=tuple(right.tolist()),
        kept_answer=tuple(still.tolist()),
        idle=tuple(runs.idle.tolist()),
        no_op_change=runs.no_op_change(),
        others_alone=(clean - before).mean().item() / gap,
        together=(clean - value(changed)).mean().item() / gap,
        moved_together=asked.foiled(changed).float().mean().item() if args.mode == "swap" else None,
        n_pairs=len(args.pairs),
        n_alive=runs.n_alive,
        size=runs.size(own),
        random_groups=tuple(tuple(f"{layer}/{f}" for layer, mine in one.items() for f in mine) for one in groups),
        random_sizes=tuple(map(runs.size, groups)),
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
    )


def _controls(
    runs: SupernodeRuns, args: SupernodeEffectArgs, groups: Sequence[Drawn]
) -> Iterator[Float[Tensor, "batch vocab"]]:
    if args.mode == "ablate":
        return runs.taken_out(groups)
    return runs.random_directions(args.random_draws, args.seed)


def _same(one: str, other: str) -> bool:
    """Whether two texts are the same but for their spaces."""
    return one.split() == other.split()


def _places(features: Sequence[str]) -> set[tuple[int, ...]]:
    """Features however they are written."""
    return {tuple(map(int, re.findall(r"\d+", name))) for name in features}


def _cell(name: str, drops: list[float], moved: list[bool], gap: float, drawn: list[float]) -> SupernodeCell:
    effects = tuple(drop / gap for drop in drops)
    return SupernodeCell(
        site=f"supernode {name}",
        position="where active",
        effect=sum(effects) / len(effects),
        moved=sum(moved) / len(moved),
        effects=effects,
        drops=tuple(drops),
        answers_moved=tuple(moved),
        random_effects=tuple(drawn),
    )
