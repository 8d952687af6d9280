"""From a question to a running investigation: loads the subject, opens the run's folder, ledger and memory."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..tools import ToolError
from .approving import Waiting
from .planners.interface import ContrastPair
from .planners.reading import PRESUMING, form_of, read_question, refuse_without_prompts
from .runs import Planned, Put, RunFolder, RunInfo

if TYPE_CHECKING:
    from ..memory import Memory
    from ..tools import Subject
    from .desk import Desk
    from .planners.interface import Planner
    from .planners.llm_consulting import Consultant
    from .planners.llm_writing import ProbeWriter

MemoryOpener = Callable[[], "Memory"]
FIXED_COURSE = "a question about a feature has one course, and no places to choose"


@dataclass(frozen=True)
class Where:
    """Where a run's things lie."""

    home: Path
    memory: str = ""
    use_memory: bool = True

    def opener(self) -> MemoryOpener | None:
        """Opens the memory for as long as it is needed; none where it is not wanted."""
        if not self.use_memory:
            return None

        def opened() -> "Memory":
            from ..memory import Memory

            return Memory(self.memory or self.home / "memory")

        return opened


def start_run(
    where: Where,
    subject: "Subject",
    question: str,
    seed: int,
    device: str,
    pairs: tuple[ContrastPair, ...] = (),
    probes_by: str = "",
    planned: Planned | None = None,
    put: Put | None = None,
    name: str = "",
) -> RunFolder:
    """A new run's folder, once it is known that the question can be read and put to the model.

    Args:
        question: in a form that is read.
        probes_by: Language model that is to write the probes; empty to have them made without one.
        planned: Who plans, and within what; by default the deterministic planner.
        put: how a person put it, where a language model made this question of that.
        name: of the run; by default one of its time and question.

    Raises:
        CannotRead: the question has no form that the planner reads.
        ToolError: no text, words that the model lacks, or an answer that its tokenizer splits.
    """
    refuse_what_is_no_text(question)
    task = read_question(question, pairs)
    refuse_without_prompts(task, bool(subject.tasks))
    for prompt, answer in [(task.prompt, task.answer)] if task.kind == "why" else [(p.clean, p.answer) for p in pairs]:
        subject.answer_token(prompt, answer)
    if task.kind == "feature":
        _refuse_unknown_feature(subject, task.feature)
    for pair in pairs:
        subject.answer_token(pair.corrupted, pair.foil)
    info = RunInfo(
        question=question,
        put=put,
        model=subject.key.model,
        device=device,
        seed=seed,
        pairs=tuple(pair.model_dump(mode="json") for pair in pairs),
        probes_by=probes_by,
        planned=planned or Planned(),
        created=datetime.now().astimezone().isoformat(timespec="milliseconds"),
    )
    return RunFolder.create(where.home, info, name)


def refuse_what_is_no_text(question: str) -> None:
    """
    Raises:
        ToolError: the question cannot be written to a file or sent anywhere.
    """
    try:
        question.encode()
    except UnicodeEncodeError as error:  # bytes of a command line that are no UTF-8 arrive as lone surrogates
        raise ToolError("The question holds bytes that are no UTF-8.", mend="Write it in UTF-8.") from error


def _refuse_unknown_feature(subject: "Subject", feature: str) -> None:
    from ..tools import dictionary_of
    from .bench import trained_dictionary

    layer, index = map(int, feature.split("/"))
    features = (trained_dictionary(subject) or dictionary_of(subject, "neurons")).at(layer)
    if index >= features.n_features:
        raise ToolError(f"Layer {layer} has no feature {index}.", mend=f"Features: 0..{features.n_features - 1}.")
    if not subject.texts:
        raise ToolError(
            f"{subject.name} came with no texts to read the feature on.",
            mend='Put a text.json beside the model: {"texts": ["…"]}.',
        )


@contextmanager
def desk_for(
    where: Where,
    subject: "Subject",
    folder: RunFolder,
    writer: "ProbeWriter | None" = None,
    consultant: "Consultant | None" = None,
) -> "Iterator[Desk]":
    """The desk of a run, new or taken up again; its ledger is locked while it is open.

    Args:
        writer: Language model to ask for probes; a run that has all of its own needs none.
        consultant: Language model to ask what to measure; a run that code plans needs none.

    Raises:
        LedgerError: another process works on this run, its ledger was tampered with, or the model has changed.
    """
    from .advice import Advice
    from .desk import Desk
    from .ledger import Ledger
    from .purse import Purse
    from .raising import budget_in

    info = folder.info
    with Ledger(folder.ledger) as ledger:
        begun = ledger.find("question")
        if begun and begun.body["fingerprint"] != subject.key.fingerprint:
            raise ToolError(
                f"The weights of {subject.name} have changed since run {folder.name} began.",
                mend="Restore them, or ask the question again: what was measured holds for the old weights alone.",
            )
        pairs = tuple(ContrastPair.model_validate(pair) for pair in info.pairs)
        planned = info.planned
        advice = Advice(ledger, writer, consultant)
        purse = Purse(budget_in(ledger) or planned.budget, planned.prices)
        yield Desk(
            subject, _planner_of(info), folder, ledger, where.opener(), info.seed, pairs, advice, purse, planned.approve
        )


def planning_model(info: RunInfo) -> str:
    """The language model that plans a run; empty where code does, as where a question has one course."""
    return info.planned.by if form_of(info.question) in PRESUMING else ""


def _planner_of(info: RunInfo) -> "Planner":
    from .planners.llm import LLMPlanner
    from .planners.protocol import ProtocolPlanner

    if model := planning_model(info):
        return LLMPlanner(model, info.seed, info.probes_by, info.planned.room, info.planned.blind)
    # Where a question has one course, that needs no probes either, so nobody is named who would write them.
    return ProtocolPlanner(info.seed, info.probes_by if form_of(info.question) in PRESUMING else "")


def ask(desk: "Desk", see: Callable[[dict[str, Any]], None]) -> Waiting | None:
    """Run the investigation to its end, or to where a person has to approve something: that is returned then."""
    from .investigation import investigate

    # Closed before the desk is: an experiment that runs when `see` stops it all ends with its ledger open.
    stream = cast("Generator[dict[str, Any]]", investigate(desk, desk.folder.info.question))
    with closing(stream) as events:
        for event in events:
            if event["event"] == "waiting":
                return Waiting.model_validate({name: event[name] for name in Waiting.model_fields})
            see(event)
    return None
