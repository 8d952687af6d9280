"""The seven forms of question that the deterministic planner reads. What fits none is not guessed at."""

import re

from .interface import CannotRead, ContrastPair, Task, TaskKind

FORMS = (
    "Why does the model answer 'ANSWER' after 'PROMPT'?",
    "Where is BEHAVIOUR computed?  (with --pairs FILE: contrast pairs as JSON or CSV)",
    "What does feature LAYER/FEATURE stand for?",
    "Does the answer depend on FACTOR?  (with --pairs FILE: toward answer rather than foil)",
    "Does the answer change with FACTOR?  (with --pairs FILE: one way or the other)",
    "How fragile is steering toward 'ANSWER'?  (with --pairs FILE: all of one answer and one foil)",
    "Does a word trigger another answer?  (with --pairs FILE where no task data came with the model)",
)
PRESUMING: tuple[TaskKind, ...] = ("why", "where")  # that the model answers as the question says
ABOUT_ANSWERS: tuple[TaskKind, ...] = ("depends", "changes", "trigger")
READS = "\n".join(["It reads:", *(f"  {form}" for form in FORMS)])

_OPEN, _CLOSE = "'\"`‘“«", "'\"`’”»"
_WHY = re.compile(
    rf"why\b.*?[{_OPEN}](?P<answer>[^{_OPEN}{_CLOSE}]+)[{_CLOSE}]\s+after\s+[{_OPEN}](?P<prompt>.+)[{_CLOSE}]\s*[?.]?",
    re.IGNORECASE | re.DOTALL,
)
_WHERE = re.compile(r"where\s+is\s+(?P<behaviour>.+?)\s+computed\s*\??", re.IGNORECASE | re.DOTALL)
_FEATURE = re.compile(
    r"what\s+does\s+feature\s+(?P<feature>\d+/\d+)\s+(?:stand\s+for|mean|represent|do)\s*\??", re.IGNORECASE
)
_DEPENDS = re.compile(
    r"does\s+the\s+answer\s+(?:depend|hang)\s+on\s+(?P<behaviour>.+?)\s*\??", re.IGNORECASE | re.DOTALL
)
_CHANGES = re.compile(r"does\s+the\s+answer\s+change\s+with\s+(?P<behaviour>.+?)\s*\??", re.IGNORECASE | re.DOTALL)
_STEERING = re.compile(
    rf"how\s+fragile\s+is\s+steering\s+towards?\s+[{_OPEN}](?P<behaviour>[^{_OPEN}{_CLOSE}]+)[{_CLOSE}]\s*\??",
    re.IGNORECASE,
)
_TRIGGER = re.compile(r"does\s+(?:a|any|some)\s+word\s+trigger\s+(?:another|an|one)\s+answer\s*\??", re.IGNORECASE)
_ON_PAIRS: dict[TaskKind, re.Pattern[str]] = {
    "where": _WHERE,
    "depends": _DEPENDS,
    "changes": _CHANGES,
    "steering": _STEERING,
}
TAKING_PAIRS = tuple(_ON_PAIRS)
_STAND_IN = ContrastPair(clean="a", corrupted="b", answer="a", foil="b")  # what `where` needs to be recognised


def form_of(question: str) -> TaskKind | None:
    """Which form a question has, whether or not the pairs that it may need are there; none where it has none."""
    try:
        return read_question(question, (_STAND_IN,)).kind
    except CannotRead:
        return None


def refuse_without_prompts(task: Task, has_tasks: bool) -> None:
    """
    Raises:
        CannotRead: the question has to be put into prompts, and there are none.
    """
    if task.kind == "trigger" and not task.pairs and not has_tasks:
        raise CannotRead(
            "No task data came with this model, so there is nothing to put a word into.",
            mend="Pass --pairs FILE: its prompts are asked, with and without each word.",
        )


def why_question(answer: str, prompt: str) -> str:
    """The question in the form that is read here."""
    return f"Why does the model answer '{answer}' after '{prompt}'?"


def read_question(question: str, pairs: tuple[ContrastPair, ...]) -> Task:
    """The task that a question sets.

    Raises:
        CannotRead: it has none of the forms, or lacks the pairs that its form needs.
    """
    text = question.strip()
    if found := _WHY.fullmatch(text):
        return Task(kind="why", question=text, prompt=found["prompt"].strip(), answer=found["answer"].strip())
    if found := _FEATURE.fullmatch(text):
        return Task(kind="feature", question=text, feature=found["feature"])
    if _TRIGGER.fullmatch(text):
        return Task(kind="trigger", question=text, pairs=pairs)
    for kind, form in _ON_PAIRS.items():
        if found := form.fullmatch(text):
            if not pairs:
                raise CannotRead(
                    f"No contrast pairs were given for {found['behaviour']!r}.",
                    mend="Pass --pairs FILE with clean, corrupted, answer and foil in each row.",
                )
            if kind == "steering":
                return _steering(text, found["behaviour"].strip(), pairs)
            return Task(kind=kind, question=text, behaviour=found["behaviour"], pairs=pairs)
    raise CannotRead(f"This question has no form that the protocol planner reads: {text!r}.", mend=READS)


def _steering(text: str, answer: str, pairs: tuple[ContrastPair, ...]) -> Task:
    answers, foils = ({getattr(pair, side) for pair in pairs} for side in ("answer", "foil"))
    if (answers != {answer} or len(foils) > 1) and pairs != (_STAND_IN,):
        told = f"{', '.join(sorted(answers)[:3])} rather than {', '.join(sorted(foils)[:3])}"
        raise CannotRead(
            f"The pairs are of {told}; to be steered toward {answer!r}, all need that answer and one foil.",
            mend="Leave the other pairs out, or ask about another answer.",
        )
    return Task(kind="steering", question=text, answer=answer, pairs=pairs)
