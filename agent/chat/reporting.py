"""Answers out of a run's report: every figure a reference to a claim or a measurement, which is printed beside it."""

import re
from collections.abc import Callable, Iterable, Iterator

from ...tools import Measurement, ToolError
from ..console import TEXT, VERDICT_STYLE
from ..headlines import headline, where
from ..planners._plain import name, number, say
from ..report._text import cut, visible
from ..report.effects import measured
from ..report.figures import Lookup, render_plain
from ..report.schema import Claim, MeasurementRecord, Report, Sentence
from .turns import Line

MOST_CELLS = 6  # of one measurement
Filter = Callable[[str], bool]
PHASES = {"explore": "Explored", "confirm": "Confirmed", "control": "Controls", "black_box": "Asked only"}


class Told:
    """Puts parts of one report into lines."""

    def __init__(self, report: Report) -> None:
        self.report, self._lookup = report, Lookup.of(report)

    def answer(self) -> Iterator[Line]:
        """The answer, as the report gives it."""
        yield from (self._said(sentence) for sentence in self.report.answer)

    def why(self, what: str) -> Iterator[Line]:
        """What the answer rests on, or one claim with every condition of its verdict."""
        if what:
            yield from self._claim(self._claim_named(what), whole=True)
            return
        yield self._said(self.report.premise.sentence)
        if not self.report.claims:
            yield Line(text="No prediction was sealed, so there is no claim that the answer could rest on.")
        for claim in self._by_verdict():
            yield from self._claim(claim)

    def sure(self) -> Iterator[Line]:
        """Verdict, tier and figures of each claim, and what could not be judged."""
        if not self.report.claims:
            yield Line(text="No prediction was sealed: nothing was tested, so nothing is sure.")
        for claim in self._by_verdict():
            judged = claim.judgement
            figures = say(
                measured(claim).text + ";",
                "q",
                number(claim.id, "judgement.q", ".2g") + ",",
                number(claim.id, "judgement.n_pairs", "d"),
                "pairs in",
                number(claim.id, "judgement.n_clusters", "d"),
                "independent clusters",
            )
            yield self._headed(claim, figures)
            yield Line(text=self._plain(claim.sentence), indent=TEXT)
            if judged.verdict == "inconclusive" and judged.minimum_detectable is not None:
                least = say(
                    "Effects from", number(claim.id, "judgement.minimum_detectable"), "on would have been seen."
                )
                yield self._said(least, TEXT)
            for gate in judged.gates:
                if gate.outcome != "pass":
                    how = gate.outcome.replace("_", " ")
                    yield Line(text=f"{gate.name}, {how}: {visible(gate.reason)}", indent=TEXT, style="yellow")

    def held(self, word: str) -> Iterator[Line]:
        """Claims about where something is held that no prompt names."""
        about = [c for c in self._by_verdict() if _mentions(c.hypothesis.statement, word)]
        holds = [c for c in about if c.hypothesis.kind == "variable" and _holds(c.hypothesis.statement, word)]
        if not about:
            yield Line(text=f"No claim of run {self.report.run} is about {word!r}.")
        elif not holds:
            yield Line(text=f"No claim says that a place holds {word!r}; these mention it.")
        for claim in holds or about:
            yield from self._claim(claim)
        for claim in [c for c in about if holds and c.hypothesis.kind == "absence"]:
            yield from self._claim(claim)
        for record in self._explored():
            if holds and record.measurement.tool == "patch" and _mentions(record.why, word):
                yield from self._cells(record, lambda _: True)

    def layer(self, layer: int) -> Iterator[Line]:
        """Everything of one layer: claims, places that were patched, features that were named."""
        n_layers = int(self.report.subject.shape["n_layers"])
        if layer >= n_layers:
            raise ToolError(f"There is no layer {layer}.", mend=f"Layers: 0..{n_layers - 1}.")
        yield from self._of(lambda site: _layer_of(site) == layer, f"layer {layer}")

    def site(self, site: str) -> Iterator[Line]:
        """Everything of one place."""
        yield from self._of(lambda one: one == site or one.startswith(f"{site}."), site)

    def _of(self, is_meant: Filter, called: str) -> Iterator[Line]:
        lines = [
            *(line for claim in self._by_verdict() if any(map(is_meant, _sites(claim))) for line in self._claim(claim)),
            *(line for record in self._explored() for line in self._cells(record, is_meant)),
        ]
        yield from lines or [Line(text=f"Run {self.report.run} looked at nothing of {called}.")]

    def feature(self, feature: str) -> tuple[Line, ...]:
        """What was seen of one feature; nothing where it was not looked at."""
        layer, index = map(int, feature.split("/"))
        return tuple(
            line
            for record in self.report.measurements
            if record.measurement.subject.reinit_seed is None
            for i, one in enumerate(record.measurement.result.get("features", ()))
            if isinstance(one, dict) and (one.get("layer"), one.get("feature")) == (layer, index)
            for line in self._feature(record, i, one)
        )

    def _feature(self, record: MeasurementRecord, i: int, one: dict[str, object]) -> Iterator[Line]:
        tool, m = record.measurement.tool, record.measurement.id
        if tool == "probe_prompts":
            called = f"named {name(str(one['name']))}, of the class {str(one['group']).lower()};" if one["name"] else ""
            share = number(m, f"features.{i}.influence_share", ".1%")
            yield self._said(say(called, "share of the influence on the answer:", share + ";", record.why))
        elif tool == "feature_activations":
            where = f"at most at {name(str(one['peak_token']).strip())}:"
            yield self._said(say("It fires on the prompt,", where, number(m, f"features.{i}.peak") + "."))
        elif "influence_share" in one:
            yield self._said(say("Share of the influence:", number(m, f"features.{i}.influence_share", ".1%") + "."))

    def shown(self, what: str) -> Iterator[Line]:
        """One claim or one measurement."""
        if what.startswith("c"):
            yield from self._claim(self._claim_named(what), whole=True)
            return
        found = [r for r in self.report.measurements if r.measurement.id.startswith(what)]
        if len(found) != 1:
            raise ToolError(f"Run {self.report.run} has no measurement {what}.", mend="Ask: What did you measure?")
        record = found[0]
        yield Line(text=f"{record.measurement.id} {record.measurement.tool}: {visible(record.why)}", style="bold")
        yield self._said(headline(record.measurement))
        yield Line(text=f"{PHASES[record.phase]}; {_weights(record.measurement)}", style="dim")
        yield Line(text="Arguments: " + cut(_arguments(record.measurement)), style="dim")
        claims = [claim.id for claim in self.report.claims if record.measurement.id in claim.measurements]
        if claims:
            yield Line(text=f"Behind {', '.join(claims)}.", style="dim")

    def measured(self) -> Iterator[Line]:
        """Everything that was measured: explorations one by one, tests by the claim that they are behind."""
        for phase in ("explore", "black_box"):
            records = [r for r in self.report.measurements if r.phase == phase]
            if records:
                yield Line(text=PHASES[phase], style="bold")
            for record in records:
                found = self._plain(headline(record.measurement))
                yield Line(text=f"{record.measurement.id} {record.measurement.tool}: {found}", indent=TEXT)
        if self.report.claims:
            yield Line(text="Sealed, then tested", style="bold")
        for claim in self.report.claims:
            yield Line(text=f"{claim.id}: {', '.join(claim.measurements)}", indent=TEXT)

    def missing(self) -> Iterator[Line]:
        """What was looked for in vain, and what was not looked at."""
        yield from (self._said(sentence) for sentence in self.report.not_found)
        yield from (Line(text=f"Not examined: {visible(what)}.") for what in self.report.coverage.not_examined)

    def prompting(self) -> Iterator[Line]:
        """What asking the model alone would have told."""
        said = [self._said(sentence) for sentence in self.report.black_box]
        yield from said or [Line(text="The black-box arm did not run: the investigation ended before it.")]

    def _by_verdict(self) -> list[Claim]:
        order = list(VERDICT_STYLE)
        return sorted(self.report.claims, key=lambda claim: order.index(claim.judgement.verdict))

    def _claim_named(self, claim_id: str) -> Claim:
        for claim in self.report.claims:
            if claim.id == claim_id:
                return claim
        listed = ", ".join(claim.id for claim in self.report.claims) or "none"
        raise ToolError(f"Run {self.report.run} has no claim {claim_id}.", mend=f"Claims: {listed}.")

    def _claim(self, claim: Claim, whole: bool = False) -> Iterator[Line]:
        yield self._headed(claim, measured(claim))
        yield Line(text=self._plain(claim.sentence), indent=TEXT)
        yield Line(text=visible(claim.judgement.reason), indent=TEXT, style="dim")
        if not whole:
            return
        yield Line(text=f"It would be refuted if: {visible(claim.hypothesis.refuted_if)}", indent=TEXT)
        for gate in claim.judgement.gates:
            style = "" if gate.outcome == "pass" else "yellow"
            how = gate.outcome.replace("_", " ")
            yield Line(text=f"{how}: {gate.name}: {visible(gate.reason)}", indent=TEXT, style=style)
        yield Line(text=f"Measured: {', '.join(claim.measurements)}", indent=TEXT, style="dim")

    def _headed(self, claim: Claim, figures: Sentence) -> Line:
        judged = claim.judgement
        text = f"{claim.id} {judged.verdict}, {judged.tier}; {self._plain(figures)}"
        return Line(text=text, style=VERDICT_STYLE[judged.verdict])

    def _explored(self) -> list[MeasurementRecord]:
        return [
            r for r in self.report.measurements if r.phase == "explore" and r.measurement.subject.reinit_seed is None
        ]

    def _cells(self, record: MeasurementRecord, is_meant: Filter) -> Iterator[Line]:
        """Places that were explored, the largest effects first."""
        m = record.measurement
        cells = [(i, cell) for i, cell in enumerate(m.result.get("cells", ())) if "position" in cell]
        meant = sorted((c for c in cells if is_meant(c[1]["site"])), key=lambda c: -abs(c[1]["effect"]))
        if not meant:
            return
        yield Line(text=f"Explored, {visible(record.why)} ({m.id})", style="bold")
        parts = [
            f"{name(cell['site'])} at {where(cell['position'])} {number(m.id, f'cells.{i}.effect')}"
            for i, cell in meant[:MOST_CELLS]
        ]
        more = f" and {len(meant) - MOST_CELLS} places that move less" if len(meant) > MOST_CELLS else ""
        yield Line(text=self._plain(say(f"effect: {', '.join(parts)}{more}")), indent=TEXT)

    def _said(self, sentence: Sentence, indent: int = 0) -> Line:
        return Line(text=self._plain(sentence), indent=indent)

    def _plain(self, sentence: Sentence) -> str:
        return render_plain(sentence, self._lookup)


def _mentions(text: str, word: str) -> bool:
    return bool(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE))


def _holds(statement: str, word: str) -> bool:
    """Whether the word is what is said to be held, in the planner's wording of a variable."""
    return bool(re.search(rf"\bholds?\s+(?:the\s+)?{re.escape(word)}\b", statement, re.IGNORECASE))


def _layer_of(site: str) -> int | None:
    found = re.match(r"[a-z_]+\.(\d+)", site)
    return int(found[1]) if found else None


def _sites(claim: Claim) -> Iterable[str]:
    args = claim.prediction.arms[0].args
    # Features stand as sites of their layer, so that a layer has the claims about them too.
    return [*args.get("sites", ()), *(f"feature.{one.split('/')[0]}" for one in args.get("features", ()))]


def _weights(measurement: Measurement) -> str:
    seed = measurement.subject.reinit_seed
    return "on the model" if seed is None else f"on the model re-initialised with seed {seed}"


def _arguments(measurement: Measurement) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in measurement.args.items())
