"""What a feature stands for, decided from where it peaks in probe prompts: the published rules, one typed object.

"Automated Circuit Interpretation via Probe Prompting" (2025). Its thresholds were tuned on the features of one prompt
(39 labels), and its names are about as coherent as plain clustering on peaks: a name is a suggestion, no evidence.

Deviations, each a field of `Thresholds` that `PUBLISHED` sets back. A feature that no probe activates is Ambiguous
(published: a Relationship, since its sparsity counts as 0), and a probe that does not activate a feature has no peak
(published: its first token). Ambiguous is a class of its own and its names are not used (published: a
kind of Semantic). Layers are compared as shares of the model's depth, so that a model of 26 layers gets the
published rule and others its equivalent (published: as they are). Peaks are compared as whole words (published: as
tokens, against the probes split at spaces).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from pydantic import Field

from ._base import Frozen
from ._probe_tokens import bare

Group = Literal["Semantic", "Say X", "Relationship", "Ambiguous"]
Rule = Literal[
    "dictionary",
    "say",
    "relationship",
    "early layer",
    "concept",
    "ambiguous",
    "inactive",
    "shared value",  # this and the next: rules of our own, `_probe_values.py`
    "next word",
]


class Thresholds(Frozen):
    """Where the rules draw their lines; numbers as published."""

    peak_consistency: float = Field(
        default=0.8, description="Dictionary: least share of a word's places that are peaks."
    )
    distinct_peaks: int = Field(default=1, description="Dictionary: most different words that are peaks (count).")
    functional_vs_semantic: float = Field(default=50, description="Say X: least excess of functional peaks (per cent).")
    functional_share: float = Field(
        default=0.9, description="Say X: least share of active probes with a functional peak."
    )
    say_from_layer: int = Field(default=7, description="Say X: lowest layer, of `of_layers`.")
    sparsity: float = Field(default=0.45, description="Relationship: median sparsity below this (share).")
    early_to_layer: int = Field(default=3, description="Semantic without further test: highest layer, of `of_layers`.")
    semantic_share: float = Field(
        default=0.5, description="Concept: least share of active probes with a semantic peak."
    )
    of_layers: int | None = Field(
        default=26,
        ge=1,
        description="Depth that the two layers refer to; other depths are scaled. None: the model's own.",
    )
    window: int = Field(default=7, ge=1, description="How far a functional token looks for its target (tokens).")
    value_share: float | None = Field(
        default=0.5,
        description="Shared value: least share of the peaks, by height, at words with one value. None: no such rule.",
    )
    value_evenness: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Shared value: least activation at any word with the value, over that at the strongest (share).",
    )
    value_words: int = Field(default=2, ge=1, description="Shared value: fewest different words with it (count).")
    next_share: float | None = Field(
        default=0.5,
        description="Next word: least share of the peaks, by height, before one word. None: no such rule.",
    )
    next_words: int = Field(default=2, ge=1, description="Next word: fewest different peak words before it (count).")
    whole_words: bool = Field(default=True, description="Whether peaks are whole words rather than tokens.")
    silent_peaks: bool = Field(
        default=False, description="Whether a probe that does not activate a feature peaks at its first token."
    )
    group_inactive: bool = Field(
        default=False, description="Whether a feature that no probe activates is classed and named like any other."
    )
    ambiguous_names: bool = Field(
        default=False, description="Whether the name of an Ambiguous feature may name a Relationship, as a Semantic's."
    )
    prompt_token_by: Literal["activation", "influence"] = Field(
        default="activation", description="Which of a feature's places in the prompt counts: that of the largest."
    )


PUBLISHED = Thresholds(
    value_share=None,
    next_share=None,
    of_layers=None,
    whole_words=False,
    silent_peaks=True,
    group_inactive=True,
    ambiguous_names=True,
    prompt_token_by="influence",
)
"""The rules to the letter."""


class Reading(Frozen):
    """One feature on one probe; special tokens are left out."""

    probe: int = Field(description="Index of the probe.")
    peak: float = Field(description="Largest activation; 0 where the probe does not activate it.")
    position: int = Field(description="Index of the peak token, special tokens included; the first of equals.")
    token: str = Field(description="Text of the peak token.")
    word: str = Field(default="", description="Whole word that the peak token is a part of; empty: the token itself.")
    functional: bool = Field(description="Whether the peak is functional rather than semantic.")
    target: str | None = Field(description="Semantic word that the peak is or introduces; none where there is none.")
    following: str = Field(default="", description="Word after the peak's; empty at the end, and for punctuation.")
    sparsity: float = Field(description="(peak - mean) / peak over the tokens (share); 0 where it is not active.")
    density: float = Field(description="Tokens at which it is active (share).")

    @property
    def peak_word(self) -> str:
        """What the rules compare and names are made of."""
        return self.word or self.token


class FeatureMetrics(Frozen):
    """One feature over all probes."""

    n_active: int = Field(description="Probes that activate it (count).")
    peak_consistency: float = Field(description="Of its most frequent peak word, occurrences that are peaks (share).")
    distinct_peaks: int = Field(description="Different words of the probes that are peaks (count).")
    functional_share: float = Field(description="Active probes whose peak is functional (share); else semantic.")
    functional_vs_semantic: float = Field(
        description="Largest functional minus largest semantic peak, over the larger (per cent)."
    )
    sparsity: float = Field(description="Median sparsity over active probes (share).")


@dataclass(frozen=True)
class Decision:
    """A feature's class, the rule that made it, and the figures behind it."""

    group: Group
    rule: Rule
    reason: str


def metrics_of(readings: Sequence[Reading], words: Counter[str]) -> FeatureMetrics:
    """What the rules read, from one feature's readings and the number of times each word stands in the probes."""
    peaks = Counter(word for r in readings if (word := bare(r.peak_word)) in words)
    best = peaks.most_common(1)
    active = [r for r in readings if r.peak > 0]
    functional = [r.peak for r in active if r.functional]
    semantic = [r.peak for r in active if not r.functional]
    high, low = max(functional, default=0.0), max(semantic, default=0.0)
    return FeatureMetrics(
        n_active=len(active),
        peak_consistency=best[0][1] / words[best[0][0]] if best else 0.0,
        distinct_peaks=len(peaks),
        functional_share=len(functional) / len(active) if active else 0.0,
        functional_vs_semantic=100 * (high - low) / max(high, low) if active else 0.0,
        sparsity=median(r.sparsity for r in active) if active else 0.0,
    )


def decide(m: FeatureMetrics, layer: int, n_layers: int, t: Thresholds) -> Decision:
    """The published decision list: the first rule that holds."""
    of_layers = t.of_layers or n_layers
    depth = layer * of_layers  # compared in whole numbers: a layer exactly on the line must fall on its own side
    excess, share = f"{m.functional_vs_semantic:.0f} %", f"{m.functional_share:.3f}"
    semantic = f"semantic share {1 - m.functional_share:.3f}"
    if m.n_active == 0 and not t.group_inactive:
        return Decision("Ambiguous", "inactive", "0 probes activate it")
    if m.peak_consistency >= t.peak_consistency and 1 <= m.distinct_peaks <= t.distinct_peaks:
        return Decision(
            "Semantic",
            "dictionary",
            f"consistency {m.peak_consistency:.3f} >= {t.peak_consistency:g}, peak words {m.distinct_peaks} <= "
            f"{t.distinct_peaks}",
        )
    if (
        m.functional_vs_semantic >= t.functional_vs_semantic
        and m.functional_share >= t.functional_share
        and depth >= t.say_from_layer * n_layers
    ):
        return Decision(
            "Say X",
            "say",
            f"functional excess {excess} >= {t.functional_vs_semantic:g} %, functional share {share} >= "
            f"{t.functional_share:g}, layer {layer} of {n_layers} >= {t.say_from_layer} of {of_layers}",
        )
    if m.sparsity < t.sparsity:
        return Decision("Relationship", "relationship", f"sparsity {m.sparsity:.3f} < {t.sparsity:g}")
    if depth <= t.early_to_layer * n_layers:
        where = f"layer {layer} of {n_layers} <= {t.early_to_layer} of {of_layers}"
        return Decision("Semantic", "early layer", where)
    if 1 - m.functional_share >= t.semantic_share:
        return Decision("Semantic", "concept", f"{semantic} >= {t.semantic_share:g}")
    if m.functional_vs_semantic < t.functional_vs_semantic:
        return Decision("Semantic", "concept", f"functional excess {excess} < {t.functional_vs_semantic:g} %")
    least = f"functional excess {excess} >= {t.functional_vs_semantic:g} %, {semantic} < {t.semantic_share:g}"
    return Decision("Ambiguous", "ambiguous", f"{least}, functional share {share}: no rule holds")
