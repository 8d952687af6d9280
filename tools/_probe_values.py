"""Two names that the published rules do not give: a value that peak words have in common, and a word that comes next.

The published rules name a feature after the word at which it peaks highest. A feature that peaks at Dallas, Houston and
Odessa is then `Odessa`, and one that peaks at the last word of any wording whose answer is Austin is named after that
last word. Both are read here from the same naming probes, by how much of the feature's peaks (their sum, so that weak
ones count little) bears a name out:

| rule | name | holds where |
| --- | --- | --- |
| `shared value` | the value | task data give it to several peak words, with `value_share` of the peaks, evenly |
| `next word` | `Say (X)` | X follows several peak words, with `next_share` of the peaks, from `say_from_layer` on |

Evenly: at every word of the value that the probes show, the feature fires at least `value_evenness` as strongly as at
its strongest. A feature that fires at some cities of Texas and not at others is no feature of Texas.

Like every name from probes they say where a feature fires; what it does is for an intervention to show.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ._probe_groups import Decision, FeatureMetrics, Reading, Thresholds, decide
from ._probe_tokens import bare, shown
from ._tasks import TaskFamily

Values = Mapping[str, frozenset[str]]
"""What a word stands for in task data: a city's state, a name's gender; words as they are compared."""
FEWEST_OF_A_VALUE = 3  # words that share it


@dataclass(frozen=True)
class Decided:
    """A decision, and the name that comes with it; empty where the published rules give it."""

    decision: Decision
    name: str = ""


def values_of(families: Iterable[TaskFamily]) -> Values:
    """Per entity the values that at least three entities of its family share: mediators, or answers without any."""
    found: dict[str, set[str]] = {}
    for family in families:
        for slot in family.mediators or (family.answer,):
            holders: dict[str, set[str]] = {}
            for row in family.rows:
                holders.setdefault(row.slots[slot], set()).add(bare(row.slots[family.entity]))
            for value, words in holders.items():
                for word in words if len(words) >= FEWEST_OF_A_VALUE else ():
                    found.setdefault(word, set()).add(value)
    return {word: frozenset(values) for word, values in found.items()}


def decided(
    metrics: FeatureMetrics,
    readings: Sequence[Reading],
    strongest: Mapping[str, float],
    layer: int,
    n_layers: int,
    values: Values,
    t: Thresholds,
) -> Decided:
    """The class of a feature: by one of these rules, unless it peaks at one word alone; else by the published ones.

    Args:
        strongest: Largest activation at each word of the probes, peak or not.
    """
    published = decide(metrics, layer, n_layers, t)
    if published.rule in ("dictionary", "inactive"):
        return Decided(published)
    own = _by_value(readings, strongest, values, t) or _by_next_word(readings, layer, n_layers, t)
    return own or Decided(published)


def _by_value(
    readings: Sequence[Reading], strongest: Mapping[str, float], values: Values, t: Thresholds
) -> Decided | None:
    if t.value_share is None:
        return None
    sums: dict[str, float] = {}
    words: dict[str, set[str]] = {}
    for one in readings:
        word = bare(one.peak_word)
        for value in values.get(word, ()):
            sums[value] = sums.get(value, 0.0) + one.peak
            words.setdefault(value, set()).add(word)
    even = {value: _evenness(value, strongest, values) for value in sums}
    several = {
        value: total
        for value, total in sums.items()
        if len(words[value]) >= t.value_words and even[value] >= t.value_evenness
    }
    found = _largest(several, readings, t.value_share)
    if found is None:
        return None
    value, share = found
    n = len(words[value])
    reason = (
        f"{value} has {share:.3f} >= {t.value_share:g} of the peaks, at {n} words >= {t.value_words}, evenness "
        f"{even[value]:.3f} >= {t.value_evenness:g}"
    )
    return Decided(Decision("Semantic", "shared value", reason), value)


def _evenness(value: str, strongest: Mapping[str, float], values: Values) -> float:
    """Weakest over strongest activation among the words of a value (share)."""
    found = [strength for word, strength in strongest.items() if value in values.get(word, ())]
    return min(found) / max(found) if found and max(found) > 0 else 0.0


def _by_next_word(readings: Sequence[Reading], layer: int, n_layers: int, t: Thresholds) -> Decided | None:
    of_layers = t.of_layers or n_layers
    if t.next_share is None or layer * of_layers < t.say_from_layer * n_layers:
        return None
    sums: dict[str, float] = {}
    words: dict[str, set[str]] = {}
    for one in readings:
        if one.following:
            sums[one.following] = sums.get(one.following, 0.0) + one.peak
            words.setdefault(one.following, set()).add(bare(one.peak_word))
    several = {following: total for following, total in sums.items() if len(words[following]) >= t.next_words}
    found = _largest(several, readings, t.next_share)
    if found is None:
        return None
    following, share = found
    reason = (
        f"{following} follows {share:.3f} >= {t.next_share:g} of the peaks, after {len(words[following])} words >= "
        f"{t.next_words}, layer {layer} of {n_layers} >= {t.say_from_layer} of {of_layers}"
    )
    return Decided(Decision("Say X", "next word", reason), f"Say ({shown(following)})")


def _largest(sums: Mapping[str, float], readings: Sequence[Reading], least: float) -> tuple[str, float] | None:
    """The name with most of the peaks and its share, if that is enough; of equal ones the first by letter."""
    total = sum(one.peak for one in readings)
    if not sums or not total:
        return None
    best = min(sums, key=lambda name: (-sums[name], name))
    return (best, sums[best] / total) if sums[best] >= least * total else None
