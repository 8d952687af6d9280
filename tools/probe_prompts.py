"""What features stand for, read from probe prompts: the same concept in other contexts, and where each feature peaks.

"Automated Circuit Interpretation via Probe Prompting" (2025). A prompt's concepts are put into other contexts; each
feature is read on all of them, put into a class by a decision list on where it peaks, and named; features of equal name
are a supernode. Classes: Semantic (fires on a meaning), Relationship (fires broadly), Say X (fires on grammar right
before X), Ambiguous. A name says where a feature fires, not what it does.

Deviations. Concepts and probes come from task data, the model's texts and its own continuations (`_probe_texts.py`)
rather than from another language model, so equal seeds give equal probes. Features are those given, or those that write
most on the prompt (largest activation times length of the write vector), rather than an attribution graph's above a
cut. Negative activations, which neurons have, count as 0. Density is the share of tokens where a feature is active
(published: above the 0.9 quantile, a tenth by construction). Further ones at `_probe_groups.py` and `_probe_names.py`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._dictionary import Dictionary
from ._dictionary_file import dictionary_of
from ._dictionary_reading import read_prompts
from ._probe_groups import FeatureMetrics, Group, Reading, Rule, Thresholds, decide, metrics_of
from ._probe_names import Evidence, Supernode, names_of, supernodes_of
from ._probe_texts import Concept, Probe, ProbeMaker
from ._probe_tokens import bare, is_functional, target_of, whole_words
from ._subject import Subject


class ProbePromptsArgs(ToolArgs):
    prompt: str = Field(description="Prompt whose features are to be understood.")
    target: str = Field(description="The next word that it is about.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    features: tuple[str, ...] = Field((), description="LAYER/FEATURE of each feature; none to choose by the prompt.")
    layers: tuple[int, ...] = Field((), description="Layers to choose features from; none for all.")
    max_features: int = Field(40, ge=1, le=1000, description="Features to choose at most (count).")
    per_concept: int = Field(6, ge=1, le=100, description="Probes to make for each concept at most (count).")
    swaps: int = Field(3, ge=0, le=100, description="Other entities of the task to add as concepts (count).")
    continuation_tokens: int = Field(8, ge=1, le=64, description="Tokens of a continuation at most (count).")
    # The default is plain data, made into `Thresholds` at validation, so that help and schema can print it.
    thresholds: Thresholds = Field(
        default=cast(Any, {}), validate_default=True, description="Where the rules draw their lines; as published."
    )
    blacklist: tuple[str, ...] = Field((), description="Words that name no Relationship.")
    seed: int = Field(0, ge=0, description="Seed of the choice of rows and texts, and of drawn continuations.")


class GroupedFeature(Frozen):
    """One feature with its class, its name and what they rest on."""

    layer: int = Field(description="Layer of the feature.")
    feature: int = Field(description="Index in the layer's dictionary.")
    group: Group = Field(description="Its class.")
    rule: Rule = Field(description="The rule that made the class.")
    reason: str = Field(description="The figures that the rule compared.")
    name: str = Field(description="Its name; features of equal name are a supernode.")
    metrics: FeatureMetrics = Field(description="What the rules read.")
    prompt_activation: float = Field(description="Largest activation on the prompt itself.")
    prompt_token: str | None = Field(description="Token of the prompt where that is; none if inactive there.")
    readings: tuple[Reading, ...] = Field(description="Per probe that activates it.")


class ProbePromptsResult(ToolResult):
    concepts: tuple[Concept, ...] = Field(description="What probes were sought for.")
    probes: tuple[Probe, ...] = Field(description="Texts that ran, by concept.")
    features: tuple[GroupedFeature, ...] = Field(description="By layer, then index.")
    supernodes: tuple[Supernode, ...] = Field(description="Features by name, the largest first.")
    family: str = Field(description="Task family that the prompt belongs to; empty for none.")
    concepts_without_probes: tuple[str, ...] = Field(description="Concepts for which no text was found.")
    n_refused: int = Field(description="Texts left out because the model cannot read them (count).")
    dictionary: str = Field(description="Dictionary that was read.")
    dictionary_digest: str = Field(description="SHA-256 of that dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")


@dataclass(frozen=True)
class _Read:
    """A text's tokens without special ones, each one's index with them, and the chosen features' activations."""

    tokens: tuple[str, ...]
    places: tuple[int, ...]
    acts: Float[Tensor, "pos feature"]


@tool
def probe_prompts(subject: Subject, args: ProbePromptsArgs, progress: Progress = silent) -> ProbePromptsResult:
    """Say what features stand for: make probe prompts for a prompt's concepts, see where features peak, group and name.

    Raises:
        ToolError: no such dictionary, layer or feature, a prompt or target that the model cannot read, or no probe.
    """
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    asked = [(layer.layer, index) for layer, index in map(dictionary.feature, args.features)]
    layers = tuple(dict.fromkeys(args.layers)) or tuple(one.layer for one in dictionary.layers)
    sizes = {layer: dictionary.at(layer).n_features for layer in layers}
    maker = _maker(subject, args)
    concepts = maker.concepts(args.swaps)
    progress(0, 3, "making probes")
    probes = maker.probes(concepts)
    if not probes:
        raise ToolError("No probe prompt could be made.", mend="Raise `continuation_tokens` or pass another prompt.")
    progress(1, 3, "choosing features")
    chosen = sorted(set(asked)) or _strongest(subject, dictionary, sizes, args)
    progress(2, 3, f"reading {len(probes)} probes")
    seed_read, *read = _read(subject, dictionary, chosen, [args.prompt, *(probe.text for probe in probes)])
    words = whole_words(probe.text for probe in probes)
    found = [
        _evidence(subject, column, chosen, seed_read, read, words, args.thresholds) for column in range(len(chosen))
    ]
    prompt_words = [token.strip() for token in seed_read.tokens if not is_functional(token, maker.short)]
    names = names_of(found, prompt_words, args.blacklist)
    served = {probe.concept for probe in probes}
    progress(3, 3, "grouped")
    return ProbePromptsResult(
        concepts=concepts,
        probes=probes,
        features=tuple(
            _grouped(one, name, seed_read.acts[:, i].max().item())
            for i, (one, name) in enumerate(zip(found, names, strict=True))
        ),
        supernodes=supernodes_of(found, names),
        family=maker.task[0].name if maker.task else "",
        concepts_without_probes=tuple(one.label for one in concepts if one.label not in served),
        n_refused=len(maker.refused),
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
    )


def _maker(subject: Subject, args: ProbePromptsArgs) -> ProbeMaker:
    target = args.target.strip()
    if not target:
        raise ToolError("The target is empty.", mend="Pass the next word after the prompt.")
    subject.tokenise([args.prompt, f"{args.prompt} {target}"])
    short = args.thresholds.short_word
    return ProbeMaker(subject, args.prompt, target, args.seed, short, args.per_concept, args.continuation_tokens)


def _strongest(
    subject: Subject, dictionary: Dictionary, sizes: dict[int, int], args: ProbePromptsArgs
) -> list[tuple[int, int]]:
    """The features that write most on the prompt; fewer where fewer are active."""
    everything = [(layer, feature) for layer, size in sizes.items() for feature in range(size)]
    (read,) = _read(subject, dictionary, everything, [args.prompt])
    lengths = torch.cat([dictionary.at(layer).W_dec.norm(dim=-1) for layer in sizes]).float().cpu()
    written = read.acts.amax(0) * lengths
    best = written.sort(descending=True, stable=True).indices[: args.max_features].tolist()
    return sorted(everything[i] for i in best if written[i] > 0)


def _read(
    subject: Subject, dictionary: Dictionary, chosen: Sequence[tuple[int, int]], texts: Sequence[str]
) -> list[_Read]:
    """These features on each text, negative activations as 0."""
    layers = list(dict.fromkeys(layer for layer, _ in chosen)) or [dictionary.layers[0].layer]
    starts = dict(
        zip(layers, accumulate((dictionary.at(layer).n_features for layer in layers), initial=0), strict=False)
    )
    columns = torch.tensor([starts[layer] + feature for layer, feature in chosen], dtype=torch.long)
    read = []
    for text, (tokens, acts) in zip(texts, read_prompts(subject, list(map(dictionary.at, layers)), texts), strict=True):
        ids = subject.reader.split(text).ids
        places = [i for i, token in enumerate(ids) if token not in subject.reader.special_ids]
        read.append(_Read(tuple(tokens[i] for i in places), tuple(places), acts[places][:, columns].clamp(min=0)))
    return read


def _evidence(
    subject: Subject,
    column: int,
    chosen: Sequence[tuple[int, int]],
    seed_read: _Read,
    read: Sequence[_Read],
    words: Counter[str],
    thresholds: Thresholds,
) -> Evidence:
    readings = tuple(_readings(read, column, thresholds))
    metrics = metrics_of(readings, words)
    strongest: dict[str, float] = {}
    for one in read:
        for token, act in zip(one.tokens, one.acts[:, column].tolist(), strict=True):
            strongest[bare(token)] = max(strongest.get(bare(token), 0.0), act)
    on_prompt = seed_read.acts[:, column]
    layer, feature = chosen[column]
    return Evidence(
        layer=layer,
        feature=feature,
        decision=decide(metrics, layer, subject.shape.n_layers, thresholds),
        metrics=metrics,
        readings=readings,
        seed_token=seed_read.tokens[int(on_prompt.argmax())] if on_prompt.max() > 0 else None,
        strongest=strongest,
    )


def _readings(read: Sequence[_Read], column: int, thresholds: Thresholds) -> Iterator[Reading]:
    """Where one feature peaks in each probe that activates it; of equal tokens the first."""
    for i, one in enumerate(read):
        acts = one.acts[:, column]
        place, peak = int(acts.argmax()), acts.max().item()
        if peak == 0:
            continue
        target = target_of(one.tokens, place, thresholds.window, thresholds.short_word)
        yield Reading(
            probe=i,
            peak=peak,
            position=one.places[place],
            token=one.tokens[place],
            functional=is_functional(one.tokens[place], thresholds.short_word),
            target=None if target is None else one.tokens[target],
            sparsity=(peak - acts.mean().item()) / peak,
            density=(acts > 0).float().mean().item(),
        )


def _grouped(one: Evidence, name: str, prompt_activation: float) -> GroupedFeature:
    return GroupedFeature(
        layer=one.layer,
        feature=one.feature,
        group=one.decision.group,
        rule=one.decision.rule,
        reason=one.decision.reason,
        name=name,
        metrics=one.metrics,
        prompt_activation=prompt_activation,
        prompt_token=one.seed_token,
        readings=one.readings,
    )
