"""How features answer to probes: where each peaks, in whole words, and what is read off that.

Signature after "Automated Circuit Interpretation via Probe Prompting" (2025): per feature and probe the peak token, its
value, how sparse and how dense the activations are, whether the peak is grammar or meaning, and what it is about to
introduce. Deviations: a token is taken for the whole word that it is a part of (`_probe_words.py`); negative
activations, which neurons have, count as 0; density is the share of tokens where a feature is active (published: above
the 0.9 quantile, a tenth by construction). Special tokens are left out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from ._dictionary import Dictionary
from ._dictionary_reading import read_prompts
from ._probe_groups import Reading, Thresholds, metrics_of
from ._probe_names import Evidence
from ._probe_readings import Line, reading_of
from ._probe_tokens import FunctionWords, bare, whole_words
from ._probe_values import Values, decided
from ._probe_words import Word, words_of
from ._subject import Subject

Feature = tuple[int, int]
"""Layer, and index in the layer's dictionary."""


@dataclass(frozen=True)
class Read(Line):
    """A text as the subject read it: tokens without special ones, and the chosen features' activations at each."""

    within: tuple[Word, ...]  # the word that each token is a part of, by the characters that it stands for
    acts: Float[Tensor, "pos feature"]

    def units(self, t: Thresholds) -> tuple[str, ...]:
        """Per token, what is compared: the whole word that it is a part of, or itself."""
        return tuple(word.text for word in self.within) if t.whole_words else self.tokens

    def peak(self, column: int) -> int:
        """Where one feature is largest, among these tokens; of equals the first."""
        return int(self.acts[:, column].argmax())


def read_features(
    subject: Subject, dictionary: Dictionary, chosen: Sequence[Feature], texts: Sequence[str]
) -> list[Read]:
    """These features on each text, negative activations as 0.

    Raises:
        ToolError: a text that the subject cannot read.
    """
    layers = list(dict.fromkeys(layer for layer, _ in chosen)) or [dictionary.layers[0].layer]
    starts = dict(
        zip(layers, accumulate((dictionary.at(layer).n_features for layer in layers), initial=0), strict=False)
    )
    columns = torch.tensor([starts[layer] + feature for layer, feature in chosen], dtype=torch.long)
    special, read = subject.reader.special_ids, []
    for text, (tokens, acts) in zip(texts, read_prompts(subject, list(map(dictionary.at, layers)), texts), strict=True):
        ids, offsets = subject.reader.split(text)
        words = words_of(text, offsets)
        kept = [i for i, token in enumerate(ids) if token not in special]
        read.append(
            Read(
                text=text,
                tokens=tuple(tokens[i] for i in kept),
                places=tuple(kept),
                within=tuple(words[i] for i in kept),
                acts=acts[kept][:, columns].clamp(min=0),
            )
        )
    return read


def readings_of(
    read: Iterable[tuple[int, Read]], column: int, words: FunctionWords, t: Thresholds
) -> tuple[Reading, ...]:
    """Where one feature peaks, per probe that activates it.

    Args:
        read: Number and reading of each probe.
    """
    found = (reading_of(number, one, one.acts[:, column].tolist(), words, t) for number, one in read)
    return tuple(reading for reading in found if reading is not None)


def count_words(read: Iterable[Read], t: Thresholds) -> Counter[str]:
    """How often each word stands in the texts, as peaks are compared with it."""
    if not t.whole_words:
        return whole_words(one.text for one in read)
    return Counter(bare(word.text) for one in read for word in dict.fromkeys(one.within))


def evidence_of(
    feature: Feature,
    n_layers: int,
    readings: tuple[Reading, ...],
    counts: Counter[str],
    prompt_word: str | None,
    strongest: dict[str, float],
    values: Values,
    t: Thresholds,
) -> Evidence:
    """What a class and a name are made from.

    Args:
        n_layers: Depth of the model (count).
        readings: Of the naming probes.
        counts: How often each word stands in the naming probes.
        prompt_word: Word of the prompt that counts for the feature.
        strongest: Largest activation at each word of the naming probes.
        values: What words stand for in task data.
    """
    metrics = metrics_of(readings, counts)
    layer, index = feature
    found = decided(metrics, readings, strongest, layer, n_layers, values, t)
    return Evidence(
        layer=layer,
        feature=index,
        decision=found.decision,
        metrics=metrics,
        readings=readings,
        seed_token=prompt_word,
        strongest=strongest,
        own_name=found.name,
    )


def strongest_at(read: Iterable[Read], column: int, t: Thresholds) -> dict[str, float]:
    """One feature's largest activation at each word of some texts."""
    strongest: dict[str, float] = {}
    for one in read:
        for unit, act in zip(one.units(t), one.acts[:, column].tolist(), strict=True):
            strongest[bare(unit)] = max(strongest.get(bare(unit), 0.0), act)
    return strongest
