"""Cards of the features that a run looked at: what each fires on, what it is called, and how the name fared.

A card is put together from measurements (`describe_feature`, `probe_prompts`, `score_names`) and from the verdicts on
the sealed tests of its supernode. What a name is worth is never said by whoever gave it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from ..memory import CardClaim, CardScore, FeatureCard, Tier
from ..tools import Measurement, SubjectKey
from ._evidence import takes_out
from ._samples import arm_key, arms_of
from .planners.interface import JudgedClaim, Proposal

CONTEXTS = 8  # kept on a card, as `describe_feature` lists by default
EFFECT = "supernode_effect"
TIERS: tuple[Tier, ...] = get_args(Tier)
UNNAMED = {"name": "", "group": ""}


@dataclass(frozen=True)
class Tests:
    """Every sealed prediction with what came of it, and the measurements of a run."""

    sealed: Sequence[Proposal]
    claims: Sequence[JudgedClaim]
    results: Mapping[str, Measurement]

    def of(self, name: str, feature: str, dictionaries: frozenset[str]) -> tuple[CardClaim, ...]:
        """Tests of the supernode of this name that has this feature; one that could not run counts as not held."""
        judged = {claim.proposal.prediction.id: claim for claim in self.claims}
        return tuple(
            _claim(proposal, judged.get(proposal.prediction.id))
            for proposal in self._about(name, feature, dictionaries)
        )

    def measured(self, name: str, feature: str, dictionaries: frozenset[str]) -> Iterator[str]:
        """Ids of what those tests measured."""
        for proposal in self._about(name, feature, dictionaries):
            keys = (arm_key(proposal.prediction, arm) for arm in arms_of(proposal.prediction))
            yield from (self.results[key].id for key in keys if key in self.results)

    def _about(self, name: str, feature: str, dictionaries: frozenset[str]) -> Iterator[Proposal]:
        for proposal in self.sealed:
            arm = proposal.prediction.arms[0]
            if (
                arm.tool == EFFECT
                and arm.args["supernode"] == name
                and feature in arm.args["features"]
                and arm.args["dictionary"] in dictionaries
            ):
                yield proposal


@dataclass
class _Known:
    """What was measured of one feature."""

    described: Measurement | None = None
    named: list[tuple[Measurement, dict[str, Any]]] = field(default_factory=list)
    scored: list[tuple[Measurement, dict[str, Any]]] = field(default_factory=list)


def cards_of(subject: SubjectKey, run: str, tests: Tests) -> list[FeatureCard]:
    """One card for each feature that was described, probed or scored, by dictionary, then as first met."""
    known: dict[tuple[str, str], _Known] = {}
    dictionaries: dict[str, set[str]] = {}
    for found in tests.results.values():
        # A twin is other weights under the same fingerprint.
        digest = found.result.get("dictionary_digest")  # none of steering along prompts, for example
        if found.subject.reinit_seed == subject.reinit_seed and digest is not None:
            dictionaries.setdefault(digest, set()).add(found.args["dictionary"])
            _note(known, digest, found)
    return [
        _card(subject, run, digest, feature, one, tests, frozenset(dictionaries[digest]))
        for (digest, feature), one in known.items()
    ]


def _note(known: dict[tuple[str, str], _Known], digest: str, found: Measurement) -> None:
    if found.tool == "describe_feature":
        known.setdefault((digest, _place(found.result)), _Known()).described = found
    elif found.tool in ("probe_prompts", "score_names"):
        for one in found.result["features"]:
            about = known.setdefault((digest, _place(one)), _Known())
            (about.named if found.tool == "probe_prompts" else about.scored).append((found, one))


def _place(one: Mapping[str, Any]) -> str:
    return f"{one['layer']}/{one['feature']}"


def _card(
    subject: SubjectKey, run: str, digest: str, feature: str, known: _Known, tests: Tests, dictionaries: frozenset[str]
) -> FeatureCard:
    probed, one = _naming(known, feature, tests, dictionaries)
    peak = _peak_token(known.described.result) if known.described else ""
    name, group = (one["name"], one["group"]) if one["name"] else (peak, "")
    claims = tests.of(name, feature, dictionaries) if group else ()
    judged, scores = _scores(known, name, group)
    contexts = _described(known.described) if known.described else _probed(probed, one)
    behind = [known.described, probed, judged]
    ids = [found.id for found in behind if found] + [*(tests.measured(name, feature, dictionaries) if group else ())]
    card = FeatureCard(
        subject=subject,
        run=run,
        tier="observed",
        dictionary=digest,
        feature=feature,
        name=name,
        feature_class=group,
        rule=one.get("rule", "") if group else "",
        reason=one.get("reason", "") if group else "",
        contexts=tuple(text for text, _ in contexts),
        peaks=tuple(token for _, token in contexts),
        promoted=tuple(entry["token"] for entry in known.described.result["promoted"]) if known.described else (),
        claims=claims,
        measurements=tuple(dict.fromkeys(ids)),
        **scores,
    )
    # Its name is as sure as the weakest of its tests; all else on it was only read.
    weakest = min((claim.tier for claim in claims), key=TIERS.index, default="observed")
    return card.model_copy(update={"tier": weakest}) if card.confirmed else card


def _naming(
    known: _Known, feature: str, tests: Tests, dictionaries: frozenset[str]
) -> tuple[Measurement | None, dict[str, Any]]:
    """The naming that counts: the first whose supernode was tested, else the last; scored alone, the name scored."""
    for found, one in known.named:
        if tests.of(one["name"], feature, dictionaries):
            return found, one
    if known.named:
        return known.named[-1]
    return None, known.scored[-1][1] if known.scored else UNNAMED


def _claim(proposal: Proposal, claim: JudgedClaim | None) -> CardClaim:
    return CardClaim(
        claim=claim.id if claim else proposal.prediction.id,
        verdict=claim.judgement.verdict if claim else "untested",
        tier=claim.judgement.tier if claim else "observed",
        predicts="effect" if proposal.prediction.direction == "positive" else "no effect",
        done="taken out" if takes_out(proposal.prediction) else "exchanged",
        statement=proposal.hypothesis.statement,
    )


def _scores(known: _Known, name: str, group: str) -> tuple[Measurement | None, dict[str, Any]]:
    """The last scores of this very name; of another they say nothing."""
    for found, one in reversed(known.scored):
        if (one["name"], one["group"]) == (name, group) and (one["detection"] or one["fuzzing"]):
            by = found.result["scorer"]
            return found, {
                "detection": _score(one["detection"]),
                "fuzzing": _score(one["fuzzing"]),
                "scorer": f"judgements of {by}" if by else f"{found.result['simulator']} simulator",
            }
    return None, {}


def _score(one: Mapping[str, Any] | None) -> CardScore | None:
    kept = ("score", "low", "high", "n", "permuted")
    return CardScore.model_validate({key: one[key] for key in kept}) if one else None


def _described(found: Measurement) -> list[tuple[str, str]]:
    """Contexts and where each peaks."""
    return [(one["text"], one["tokens"][one["peak"]].strip()) for one in found.result["contexts"]]


def _probed(found: Measurement | None, one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The probes that activate it most, those of both sets."""
    if found is None:
        return []
    readings: Iterable[Mapping[str, Any]] = (*one["readings"], *one["held_out"]["readings"])
    best = sorted((r for r in readings if r["peak"] > 0), key=lambda r: (-r["peak"], r["probe"]))
    probes = found.result["probes"]
    return [(probes[r["probe"]]["text"], (r["word"] or r["token"]).strip()) for r in best[:CONTEXTS]]


def _peak_token(result: Mapping[str, Any]) -> str:
    """The token at which most of the strongest contexts peak; nothing where none fires."""
    peaks = Counter(context["tokens"][context["peak"]].strip() for context in result["contexts"])
    return peaks.most_common(1)[0][0] if peaks else ""
