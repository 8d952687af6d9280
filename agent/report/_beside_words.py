"""Two runs of one question side by side, names hidden and names shown: which places each claims, and in plain words
whether hiding names changed what was found."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._attempts import tier_of
from .._evidence import Kind
from ..planners._plain import name, number, say
from ..planners.llm_blinding import WITH_NAMES
from ._beside import Beside, Brief, Half, Pair
from .figures import Lookup, render_plain
from .legend import VERDICTS

if TYPE_CHECKING:
    from ._sentence import Sentence
    from .schema import Claim, Report

HIDDEN, SHOWN = "with names hidden", "with names shown"
NOTHING = "not claimed"
HEAD = ("place", "claim", "names hidden", "effect (interval)", "names shown", "effect (interval)")
SAYS: dict[Kind, str] = {
    "mediation": "moves the answer",
    "variable": "holds the variable",
    "absence": "does nothing there",
}
NOTE = (
    "One language model was to plan the question twice, each time from the start, with the same seed and a budget for "
    "each run. With names hidden layers and heads went by numbers that mean nothing until its predictions were sealed, "
    f"and of the instruments only {', '.join(sorted(WITH_NAMES))} could be used; neither run was told what earlier "
    "runs found. Prompts, tests and verdicts are by code in both. Each is one run: another two may come out otherwise."
)


class Row(NamedTuple):
    """A line of the table."""

    place: str
    says: str
    hidden: Brief | None
    shown: Brief | None


def half_of(report: "Report", stopped: str) -> Half:
    """What a run came to, of its report.

    Args:
        stopped: what ended its exploration; empty where nothing did.
    """
    planning = report.planning
    return Half(
        premise_holds=report.premise.holds,
        planned=planning is not None,
        by_protocol=planning is not None and planning.finished_by_protocol,
        stopped=stopped,
        claims=tuple(map(_brief, report.claims)),
        ledger_digest=report.ledger_digest,
    )


def beside_of(report: "Report", stopped: str, run: str, hidden: Half) -> Beside:
    """The run with names hidden, set beside a report.

    Args:
        report: of the run with names shown.
        stopped: what ended the exploration of that one.
        run: name of the run with names hidden.
        hidden: what it came to.
    """
    shown = half_of(report, stopped)
    pairs = _pairs(hidden.claims, shown.claims)
    told = tuple(_sentences(hidden, shown, _rows(pairs, hidden.claims, shown.claims)))
    return Beside(run=run, hidden=hidden, pairs=pairs, sentences=told)


def rows_of(report: "Report") -> list[Row]:
    """Every place that either run claims something about; none where there is no other run."""
    beside = report.beside
    return _rows(beside.pairs, beside.hidden.claims, tuple(map(_brief, report.claims))) if beside else []


def verdict_cell(brief: Brief | None) -> str:
    """Which claim it is, its verdict and its tier, as a table has it."""
    if brief is None:
        return NOTHING
    return f"{brief.id} {VERDICTS[brief.verdict][0]} {brief.verdict}, {brief.tier}"


def interval_cell(brief: Brief | None) -> str:
    """Its effect with the interval, as a table has it."""
    if brief is None:
        return ""
    if brief.low is None or brief.high is None:
        return f"{brief.effect:z.2f}"
    return f"{brief.effect:z.2f} ({brief.low:z.2f} to {brief.high:z.2f})"


def as_data(report: "Report") -> dict[str, Any] | None:
    """Both runs side by side as plain data; none where there is one."""
    if report.beside is None:
        return None
    lookup = Lookup.of(report)
    places = [
        {
            "place": row.place,
            "claim": row.says,
            "hidden": row.hidden.model_dump(mode="json") if row.hidden else None,
            "shown": row.shown.model_dump(mode="json") if row.shown else None,
        }
        for row in rows_of(report)
    ]
    text = " ".join(render_plain(sentence, lookup) for sentence in report.beside.sentences)
    return {"run": report.beside.run, "text": text, "places": places}


def _brief(claim: "Claim") -> Brief:
    judged, args = claim.judgement, claim.prediction.arms[0].args
    return Brief(
        id=claim.id,
        kind=claim.prediction.kind,
        site=_site(args),
        position=(args.get("positions") or [""])[0],
        without=tuple(sorted(args.get("without") or ())),
        verdict=judged.verdict,
        tier=tier_of(claim),
        effect=judged.effect,
        low=judged.low,
        high=judged.high,
    )


def _site(args: dict[str, Any]) -> str:
    if "supernode" in args:
        return f"supernode {args['supernode']}"
    if "feature" in args:
        return f"feature {args['feature']}"
    return "+".join(args.get("sites") or [args["site"]])


def _pairs(hidden: Sequence[Brief], shown: Sequence[Brief]) -> tuple[Pair, ...]:
    """Claims about the same place together; two of one run about the same place keep their order."""
    left = [*hidden]
    found: list[Pair] = []
    for one in shown:
        other = next((brief for brief in left if brief.place == one.place), None)
        if other is not None:
            left.remove(other)
        found.append(Pair(hidden=other.id if other else None, shown=one.id))
    return (*found, *(Pair(hidden=one.id, shown=None) for one in left))


def _rows(pairs: Sequence[Pair], hidden: Sequence[Brief], shown: Sequence[Brief]) -> list[Row]:
    these, those = ({one.id: one for one in claims} for claims in (hidden, shown))
    rows: list[Row] = []
    for pair in pairs:
        one, other = these[pair.hidden] if pair.hidden else None, those[pair.shown] if pair.shown else None
        about = other or one
        assert about is not None, "a pair names a claim"
        rows.append(Row(_place(about), SAYS[about.kind], one, other))
    return rows


def _place(brief: Brief) -> str:
    where = f" at {brief.position}" if brief.position else ""
    return f"{brief.site}{where}" + (f" without {', '.join(brief.without)}" if brief.without else "")


def _sentences(hidden: Half, shown: Half, rows: Sequence[Row]) -> "Iterator[Sentence]":
    if not (hidden.planned or shown.planned):
        why = " The premise does not hold." if hidden.premise_holds is False else ""
        yield say(f"No language model was asked to plan in either run, so hiding names could change nothing.{why}")
        return
    for half, how in ((hidden, HIDDEN), (shown, SHOWN)):
        yield from _spoiled(half, how)
    one_only = [row for row in rows if _holds(row.hidden) != _holds(row.shown)]
    both = [row for row in rows if _holds(row.hidden) and _holds(row.shown)]
    if one_only:
        yield say("Hiding names changed what was found.")
    elif both:
        yield say("Hiding names did not change what was found: both runs support the same.")
    else:
        yield say("Hiding names did not change what was found: neither run supports any claim.")
    yield from _listed(f"Supported only {SHOWN}:", [_shown_only(row) for row in one_only if _holds(row.shown)])
    yield from _listed(f"Supported only {HIDDEN}:", [_hidden_only(row) for row in one_only if _holds(row.hidden)])
    yield from _listed("Supported in both:", [_in_both(row) for row in both])
    if any(_holds(row.shown) for row in one_only):
        yield say(
            "What is supported only where names are shown may have been predicted from what is known of such models "
            "and not from what was measured here; the evidence for it stands all the same."
        )
    for how, alone in ((HIDDEN, [r for r in rows if not r.shown]), (SHOWN, [r for r in rows if not r.hidden])):
        failed = [_says(row) for row in alone if not (_holds(row.hidden) or _holds(row.shown))]
        yield from _listed(f"Claimed only {how}, and not supported:", failed)


def _spoiled(half: Half, how: str) -> "Iterator[Sentence]":
    """Why a run tells less of the language model than it was to."""
    said = how.capitalize()
    if not half.planned:
        yield say(f"{said} no language model was asked to plan.")
    elif half.by_protocol:
        yield say(
            f"{said} too many turns of the language model led to nothing, and the deterministic planner finished: what "
            "is claimed there is that planner's too, and tells little of the language model."
        )
    if half.stopped:
        yield say(f"{said} the exploration was cut short:", name(half.stopped) + ".")


def _holds(brief: Brief | None) -> bool:
    return brief is not None and brief.verdict == "supported"


def _says(row: Row) -> str:
    return f"{name(row.place)} {row.says}"


def _verdict(brief: Brief | None, how: str) -> str:
    return f"{how} {brief.verdict if brief else NOTHING}"


def _shown_only(row: Row) -> str:
    assert row.shown is not None, "it is supported"
    effect = number(row.shown.id, "judgement.effect")
    return f"{_says(row)} (claim {name(row.shown.id)}, effect {effect}; {_verdict(row.hidden, HIDDEN)})"


def _hidden_only(row: Row) -> str:
    return f"{_says(row)} ({_verdict(row.shown, SHOWN)})"


def _in_both(row: Row) -> str:
    assert row.hidden is not None, "it is supported"
    assert row.shown is not None, "it is supported"
    effect = number(row.shown.id, "judgement.effect")
    tiers = row.hidden.tier, row.shown.tier
    other = "" if len({*tiers}) == 1 else f"; {tiers[0]} {HIDDEN}, {tiers[1]} {SHOWN}"
    return f"{_says(row)} (claim {name(row.shown.id)}, effect {effect}{other})"


def _listed(said: str, parts: Sequence[str]) -> "Iterator[Sentence]":
    if parts:
        yield say(said, "; ".join(parts) + ".")
