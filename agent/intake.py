"""The first entries of a ledger: the question, the words it came in, the run it is set beside, and what is recalled."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .beside import is_half, note_first
from .recalling import findings_about
from .report._asked import ASKED

if TYPE_CHECKING:
    from .desk import Desk


def take_in(desk: "Desk", question: str) -> None:
    """Open the ledger with the question, and with what a language model made of it where it came in other words."""
    body = {
        "question": question,
        "task": desk.task.model_dump(mode="json"),
        "fingerprint": desk.card.key.fingerprint,
        "planner": desk.planner.name,
        "seed": desk.seed,
    }
    desk.ledger.append("question", "question", body)
    if (put := desk.folder.info.put) is not None:
        desk.ledger.append(ASKED, "note", {ASKED: put.model_dump(mode="json", exclude={"turns"})})
        for turn in put.turns:
            desk.ledger.append(f"{turn.role}:{turn.number}", "note", {"turn": turn.model_dump(mode="json")})
    note_first(desk)


def recall(desk: "Desk", emit: Callable[[dict[str, Any]], None]) -> None:
    """Ask the memory once; what it said is in the ledger, so a resumed run does not hear something newer."""
    if desk.ledger.find("recalled") is not None:
        return
    open_memory = None if is_half(desk.folder.info) else desk.open_memory
    hits, problem = findings_about(desk.task.question, desk.card, open_memory)
    heard = [hit.model_dump(mode="json") for hit in hits]
    desk.ledger.append("recalled", "note", {"recalled": heard, "problem": problem})
    if problem:
        emit({"event": "notice", "text": f"Earlier findings could not be read: {problem}"})
    if hits:
        emit({"event": "recalled", "findings": heard})
