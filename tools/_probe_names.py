"""Names of grouped features, and the supernodes that equal names make; as published (see `_probe_groups.py`).

| class | name |
| --- | --- |
| Semantic, Ambiguous | its strongest semantic peak; else the prompt's token where it is strongest; else any peak |
| Say X | `Say (t)` with t the target of its strongest peak that has one; else `Say (?)` |
| Relationship | `(t) related` with t its strongest admissible token in any probe; else `(?) related` |

Admissible are the semantic tokens of the prompt and the names of Semantic features. A name of punctuation alone is
`punctuation`, and a form with an upper-case letter is kept where one was seen. Deviation: a feature that no probe
activates joins no supernode, and where the prompt does not activate it either its name is empty.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from ._base import Frozen
from ._probe_groups import Decision, FeatureMetrics, Reading
from ._probe_tokens import bare, is_punctuation


@dataclass(frozen=True)
class Evidence:
    """All that a name is made from."""

    layer: int
    feature: int
    decision: Decision
    metrics: FeatureMetrics
    readings: tuple[Reading, ...]
    seed_token: str | None  # where the prompt itself activates it most
    strongest: dict[str, float]  # largest activation at each token of any probe, as words are compared


class Supernode(Frozen):
    """Features of one name."""

    name: str = Field(description="Their name.")
    features: tuple[str, ...] = Field(description="LAYER/FEATURE of each, by layer, then index.")


def names_of(found: Sequence[Evidence], prompt_words: Iterable[str], blacklist: Collection[str]) -> list[str]:
    """A name for each feature; Relationship names depend on the Semantic ones."""
    names = {i: _semantic(one) for i, one in enumerate(found) if one.decision.group in ("Semantic", "Ambiguous")}
    semantic = [names[i] for i, one in enumerate(found) if one.decision.group == "Semantic"]
    barred = {bare(word) for word in blacklist}
    admissible = {bare(word): word for word in [*semantic, *prompt_words] if bare(word) not in barred}
    for i, one in enumerate(found):
        if one.decision.group == "Say X":
            names[i] = f"Say ({_target(one.readings) or '?'})"
        elif one.decision.group == "Relationship":
            names[i] = f"({_related(one.strongest, admissible) or '?'}) related"
    return [names[i] for i in range(len(found))]


def supernodes_of(found: Sequence[Evidence], names: Sequence[str]) -> tuple[Supernode, ...]:
    """Features of equal name, the largest group first, then by name."""
    members: dict[str, list[tuple[int, int]]] = {}
    for one, name in zip(found, names, strict=True):
        if one.decision.rule != "inactive":
            members.setdefault(name, []).append((one.layer, one.feature))
    return tuple(
        Supernode(name=name, features=tuple(f"{layer}/{feature}" for layer, feature in sorted(members[name])))
        for name in sorted(members, key=lambda name: (-len(members[name]), name))
    )


def _semantic(one: Evidence) -> str:
    peaks = sorted(one.readings, key=lambda r: -r.peak)
    on_prompt = [one.seed_token] if one.seed_token else []
    candidates = [*(r.token for r in peaks if not r.functional), *on_prompt, *(r.token for r in peaks)]
    best = next((token.strip() for token in candidates if token.strip()), "")
    if best and is_punctuation(best):
        return "punctuation"
    forms = (r.token.strip() for r in peaks if bare(r.token) == bare(best))
    return next((form for form in forms if form != form.lower()), best)


def _target(readings: Sequence[Reading]) -> str | None:
    with_target = [r for r in readings if r.target is not None]
    best = max(with_target, key=lambda r: r.peak, default=None)
    return best.target.strip() if best is not None and best.target else None


def _related(strongest: dict[str, float], admissible: dict[str, str]) -> str | None:
    fired = {word: strongest[word] for word in admissible if strongest.get(word, 0.0) > 0}
    return admissible[max(fired, key=lambda word: fired[word])] if fired else None
