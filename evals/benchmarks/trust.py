"""Trust in the verdicts: how often the whole system claims what is not so, and how much of what is so it finds.

Every question goes the way a user's goes: planner, sealed predictions, instruments, judge, report. Null questions ask
where nothing is to be found (`_trust_nulls.py`), through the planner that needs no language model and through one that
believes everything (`_trust_planner.py`), which takes the judge where the first never goes. A null counts against the
system as soon as one claim of its report is supported and false; where a model does have a mechanism and only the
question is off, its program and fresh prompts say which claims are false (`_trust_truth.py`). Planted questions ask
about circuits that are known (`_trust_planted.py` says what has to be found). Last, the same evidence is judged again
with one guard at a time passed over (`_trust_guards.py`); and endpoints and subjects that lie are tried
(`_trust_hostile.py`).

Upper bounds are exact and one-sided, at 95 % (Clopper and Pearson 1934): none of 59 is needed to show at most 5 %.

`python -m vesalius.evals.benchmarks.trust FOLDER` asks in full and writes the table; a quick form is measured else.
"""

import datetime
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...agent.runs import write_whole
from ...agent.settings import read_settings
from ...tools import Progress, ToolError, one_thread
from ..metric import Metric
from ..organisms.interchange import CAUSAL_MODELS, interchange_organisms
from . import _trust_believed as believed, _trust_planted as planted
from ._process_cost import machine
from ._results_folder import results_folder, told
from ._trust_figures import APART, Measured, figures
from ._trust_guards import Judged, refuse_other_reading
from ._trust_hostile import N as N_ATTACKS, hostile
from ._trust_nulls import NULLS
from ._trust_planner import Belief, Believer
from ._trust_runs import Question, investigate

COMMAND = "python -m vesalius.evals.benchmarks.trust FOLDER"
SEED = 0


@dataclass(frozen=True)
class Form:
    """How many questions of each kind (counts)."""

    nulls: Mapping[str, int]
    believed: Mapping[str, int]  # the planner that believes, on the same
    traps: Mapping[str, int]  # what only that planner walks into
    named: int  # models of each named circuit
    generated: int
    repairing: int  # models of each circuit that repairs itself
    facts: int
    uneven: int  # models with parts of unequal size
    guarded: int  # known circuits that guards are passed over on
    hostile: int  # attacks by hostile planners and subjects
    trained: bool  # circuits trained with interchange interventions too, made where they are not on disk


QUICK = Form(
    nulls={
        **{"reinitialised": 12, "shuffled_labels": 10, "permuted_answers": 8, "wrong_answer": 6, "other_rule": 6},
        **{"direct": 6, "direct_why": 4, "dormant": 1, "relabelled": 1, "memorised": 1, APART: 1},
    },
    believed={"reinitialised": 1, "shuffled_labels": 1, "permuted_answers": 1, "direct": 1},
    traps={"idle_places": 1, "dormant": 1, "illusion": 1, "true_direction": 1, "backup_absent": 1},
    named=0,
    generated=4,
    repairing=1,
    facts=1,
    uneven=2,
    guarded=1,
    hostile=2,
    trained=False,
)
FULL = Form(
    nulls={
        **{"reinitialised": 60, "shuffled_labels": 60, "permuted_answers": 45, "wrong_answer": 40, "other_rule": 40},
        **{"direct": 36, "direct_why": 24, "dormant": 16, "relabelled": 6, "memorised": 6, "relabelled_atlas": 4},
        APART: 16,
    },
    believed={"reinitialised": 8, "shuffled_labels": 8, "permuted_answers": 8, "direct": 12},
    traps={"idle_places": 20, "dormant": 6, "illusion": 4, "true_direction": 2, "backup_absent": 8},
    named=2,
    generated=42,
    repairing=8,
    facts=4,
    uneven=20,
    guarded=12,
    hostile=N_ATTACKS,
    trained=True,
)


def measure(seed: int, progress: Progress, full: bool = False) -> dict[str, Metric]:
    """The error rate and the power, with what each guard buys.

    Args:
        seed: draws every model, question and prompt.
        full: enough questions to show that the rate is at most 5 %; a few minutes else.
    """
    return figures(measure_all(seed, progress, FULL if full else QUICK))


def measure_all(seed: int, progress: Progress, form: Form) -> Measured:
    """Ask every question of a form."""
    measured, done = Measured(), 0
    total = _size(form)
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        for what in _asked(seed, form, Path(folder), measured):
            done += 1
            progress(min(done, total), total, what)
        if form.hostile:
            measured.more |= hostile(seed, lambda i, _, what: progress(min(done + i, total), total, what), form.hostile)
    return measured


def _size(form: Form) -> int:
    plain = len(planted.CIRCUITS) - 2
    questions = sum(form.nulls.values()) + sum(form.believed.values()) + sum(form.traps.values())
    circuits = form.named * plain + 2 * form.repairing + form.generated + form.facts + form.uneven + form.guarded
    return questions + circuits + form.hostile + (len(CAUSAL_MODELS) if form.trained else 0)


def _asked(seed: int, form: Form, folder: Path, measured: Measured) -> Iterator[str]:
    yield from _nulls(seed, form, folder, measured)
    yield from _believed(seed, form, folder, measured)
    yield from _traps(seed, form, folder, measured)
    yield from _planted(seed, form, folder, measured)


def _nulls(seed: int, form: Form, folder: Path, measured: Measured) -> Iterator[str]:
    for kind, n in form.nulls.items():
        for i in range(n):
            question = NULLS[kind](seed * 1000 + i, folder)
            if question is not None:
                (measured.apart if kind == APART else measured.nulls).append(investigate(question))
            yield kind


def _believed(seed: int, form: Form, folder: Path, measured: Measured) -> Iterator[str]:
    for kind, n in form.believed.items():
        for i in range(n):
            question = NULLS[kind](seed * 1000 + i, folder)
            if question is not None:
                measured.judged.append(_both(question, Belief(), is_planted=False))
                measured.nulls.append(measured.judged[-1].trial)
            yield f"{kind}, believed"


def _traps(seed: int, form: Form, folder: Path, measured: Measured) -> Iterator[str]:
    for kind, n in form.traps.items():
        for i in range(n):
            question, belief = getattr(believed, kind)(seed * 1000 + i, folder)
            if kind == "idle_places":
                measured.judged.append(_both(question, belief, is_planted=False))
                measured.nulls.append(measured.judged[-1].trial)
            else:
                trial = investigate(question, Believer(belief, question.seed))
                (measured.nulls if kind == "dormant" else measured.traps.setdefault(kind, [])).append(trial)
            yield kind


def _planted(seed: int, form: Form, folder: Path, measured: Measured) -> Iterator[str]:
    for question in planted.planted(seed, form.named, form.generated, form.repairing):
        measured.found.append(planted.find(question))
        yield question.name
    for i in range(form.facts):
        measured.found.append(planted.find_facts(seed * 1000 + i, folder))
        yield "facts"
    if form.trained:
        yield from _trained(seed, measured)
    for i in range(form.uneven):
        measured.components += planted.components(seed * 1000 + i)
        yield "parts of unequal size"
    for question, belief in believed.planted(seed, form.guarded):
        measured.judged.append(_both(question, belief, is_planted=True))
        yield "guards passed over"


def _trained(seed: int, measured: Measured) -> Iterator[str]:
    root = read_settings().home / "benchmarks" / "organisms"
    for name in CAUSAL_MODELS:
        try:
            for organism in interchange_organisms(seed, root, names=[name]):
                if question := planted.asked_interchange(organism, seed):
                    measured.found.append(planted.find(question))
        except ToolError as error:
            measured.refused.append(str(error))
        yield name


def _both(question: Question, belief: Belief, is_planted: bool) -> Judged:
    """The same question with prompts held out and without."""
    trials = [
        investigate(question, Believer(replace(belief, holds_out=holds_out), question.seed))
        for holds_out in (True, False)
    ]
    for trial in trials:
        refuse_other_reading(trial.said)
    return Judged(is_planted, *trials)


def table(measured: Measured) -> str:
    """The figures with the machine and the day they are from, then every false claim with its cause."""
    lines = [
        f"Measured {datetime.date.today().isoformat()} on {machine()}, torch {torch.__version__}, by",
        f"`{COMMAND}`.",
        "",
        "| figure | value | interval | n | target | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in figures(measured).items():
        interval = "" if one.low is None else f"{one.low:.3g}–{one.high:.3g}"
        met = {True: "yes", False: "no", None: ""}[one.met]
        lines.append(f"| {name} | {one.value:.4g} | {interval} | {one.n} | {one.target} | {met} |")
    lines += ["", "Every false claim, and every planted question that was not answered:", ""]
    return "\n".join([*lines, *(list(_amiss(measured)) or ["None."])]) + "\n"


def _amiss(measured: Measured) -> Iterator[str]:
    for trial in (*measured.nulls, *measured.apart, *(one.trial for one in measured.found)):
        for said in trial.false_claims:
            judged = said.judgement
            site, position = said.place
            yield (
                f"- {trial.kind}, {trial.name}, {trial.planner}: {site} at {position}, {judged.tier}, effect "
                f"{judged.effect:.3f}: {said.false}."
            )
    for one in measured.found:
        if one.repairs and not one.is_whole:
            yield f"- {one.trial.name}: not named, of the whole circuit: {', '.join(sorted(one.nodes - one.named))}."
        elif not one.repairs and not one.is_found:
            yield f"- {one.trial.name}: missed {', '.join(one.missed) or 'all, for no single place moves a fifth'}."
    yield from (f"- refused: {why}" for why in measured.refused)


def main(argv: list[str] | None = None, measured: Callable[[int, Progress, Form], Measured] = measure_all) -> None:
    """Measure in full, and write the table into a folder."""
    folder = results_folder(COMMAND, __doc__, argv)
    write_whole(folder / "trust.md", table(measured(SEED, told, FULL)))


if __name__ == "__main__":
    main()
