"""Cells and what came of them, without a model."""

from vesalius.agent.audit.cells import Cell
from vesalius.agent.audit.outcome import ClaimFound, Outcome, blank


def a_cell(item="one", subject="atlas", **more) -> Cell:
    given = {
        "model": subject,
        "question": "Why?",
        "pairs": (),
        "seed": 0,
        "planner": "protocol",
        "by": "",
        "budget": "",
    }
    return Cell(item=item, subject=subject, **(given | {"fails_if": ("failed", "unanswerable")} | more))


def a_claim(name="c1", verdict="supported", q=0.001, predicts="positive") -> ClaimFound:
    given = {"id": name, "text": "It does.", "verdict": verdict, "tier": "causal", "predicts": predicts, "q": q}
    return ClaimFound(**given, effect=0.5, low=0.4, high=0.6)


def answered(cell: Cell, *claims: ClaimFound, **more) -> Outcome:
    return blank(cell, "weights").model_copy(update={"claims": claims, "answer": "So it is.", "premise": True, **more})
