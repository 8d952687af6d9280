"""Does a feature tell two kinds of prompts apart: its activation with a word in place, less that without.

An intervention on the input with the feature as outcome. Effect of a pair = (largest activation on the prompt that has
the word - largest on the prompt that has another in its place) / scale, where the scale is the feature's largest
activation as seen before, so that 1 means "as strongly as it ever was". Other features of the same layer, drawn at
random and each measured against its own largest activation here, say how special that is.

On a re-initialised twin the dictionary of the original is read: the question there is whether the directions alone,
without what was learned, would show the same.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._dictionary import FeatureLayer
from ._dictionary_file import dictionary_of
from ._subject import Subject


class Contrast(Frozen):
    """A prompt with the word and the same prompt with another word in its place."""

    base: str = Field(description="Prompt with the word that the feature is said to stand for.")
    corrupted: str = Field(description="The same prompt with another word.")
    cluster: str = Field("", description="Pairs with equal names are not independent.")


class FeatureContrastArgs(ToolArgs):
    feature: str = Field(description="LAYER/FEATURE.", pattern=r"^\d+/\d+$")
    pairs: tuple[Contrast, ...] = Field(description="Prompts with and without the word.", min_length=1)
    scale: float = Field(gt=0, allow_inf_nan=False, description="The feature's largest activation as seen before.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    random_draws: int = Field(0, ge=0, le=1000, description="Control: other active features of the layer (count).")
    seed: int = Field(0, ge=0, description="Seed of the random features.")


class ContrastCell(Frozen):
    """The feature over all pairs; the same form as one place of an activation patch."""

    site: str = Field(description="The feature.")
    position: str = Field(description="Where it was read: the place of its largest activation.")
    effect: float = Field(description="Mean over pairs (share of the scale).")
    moved: float = Field(description="Pairs where it fires with the word and not without (share).")
    effects: tuple[float, ...] = Field(description="Effect of each pair (share of the scale).")
    drops: tuple[float, ...] = Field(description="Difference of activations of each pair (activation).")
    answers_moved: tuple[bool, ...] = Field(description="Whether it fires with the word and not without, per pair.")
    random_effects: tuple[float, ...] = Field(description="Mean effect of each random feature (share of its largest).")


class FeatureContrastResult(ToolResult):
    cells: tuple[ContrastCell, ...] = Field(description="One cell: the feature.")
    clean: tuple[float, ...] = Field(description="Largest activation on each prompt with the word (activation).")
    corrupted: tuple[float, ...] = Field(description="Largest activation on each prompt without it (activation).")
    gap: float = Field(description="The scale (activation).")
    clean_correct: tuple[bool, ...] = Field(description="Whether the feature fires on each prompt with the word.")
    no_op_change: float = Field(description="Largest difference between two readings of one prompt: 0 is due.")
    dictionary_digest: str = Field(description="SHA-256 of the dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")
    n_pairs: int = Field(description="Pairs that ran (count).")
    n_alive: int = Field(description="Other features of the layer that fire on these prompts (count).")


@tool
def feature_contrast(subject: Subject, args: FeatureContrastArgs, progress: Progress = silent) -> FeatureContrastResult:
    """Measure whether a feature fires for a word: on prompts that have it, and on the same prompts without it.

    Raises:
        ToolError: no such dictionary or feature, or fewer other active features than random draws.
    """
    dictionary = dictionary_of(subject, args.dictionary, on_twin=True, force=args.force_dictionary)
    layer, feature = dictionary.feature(args.feature)
    progress(0, 3, "with the word")
    clean = peaks(subject, layer, [pair.base for pair in args.pairs])
    progress(1, 3, "without the word")
    corrupted = peaks(subject, layer, [pair.corrupted for pair in args.pairs])
    progress(2, 3, "random features")
    again = peaks(subject, layer, [pair.base for pair in args.pairs])
    largest = torch.maximum(clean.amax(0), corrupted.amax(0))
    others = [i for i in largest.nonzero().flatten().tolist() if i != feature]
    chosen = _drawn(others, args)
    differences = clean - corrupted
    drops = differences[:, feature]
    fires = (clean[:, feature] > 0) & (corrupted[:, feature] <= 0)
    effects = (drops / args.scale).tolist()
    cell = ContrastCell(
        site=f"feature {args.feature}",
        position="peak",
        effect=sum(effects) / len(effects),
        moved=fires.float().mean().item(),
        effects=tuple(effects),
        drops=tuple(drops.tolist()),
        answers_moved=tuple(fires.tolist()),
        random_effects=tuple((differences[:, chosen].mean(0) / largest[chosen]).tolist()) if chosen else (),
    )
    return FeatureContrastResult(
        cells=(cell,),
        clean=tuple(clean[:, feature].tolist()),
        corrupted=tuple(corrupted[:, feature].tolist()),
        gap=args.scale,
        clean_correct=tuple((clean[:, feature] > 0).tolist()),
        no_op_change=(clean - again).abs().max().item(),
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
        n_pairs=len(args.pairs),
        n_alive=len(others),
    )


def peaks(subject: Subject, layer: FeatureLayer, prompts: list[str]) -> Float[Tensor, "batch feature"]:
    """Each feature's largest activation on each prompt, special tokens left out."""
    tokens = subject.tokenise(prompts)
    acts = layer.acts(subject.run(tokens, read=[layer.reads]).sites[layer.reads])
    outside = ~subject.reader.is_text(tokens)
    return acts.masked_fill(outside[..., None], -torch.inf).amax(1).clamp(min=0).cpu()


def _drawn(others: list[int], args: FeatureContrastArgs) -> list[int]:
    if args.random_draws > len(others):
        raise ToolError(
            f"{args.random_draws} random features were asked, but only {len(others)} others fire on these prompts.",
            mend=f"Pass random_draws of at most {len(others)}, or more prompts.",
        )
    generator = torch.Generator().manual_seed(args.seed)
    order = torch.randperm(len(others), generator=generator).tolist()
    return [others[i] for i in order[: args.random_draws]]
