"""A budget that is raised while a run goes on: it is in the ledger, so that it holds when the run is taken up again."""

from .budget import Budget, raised
from .ledger import Ledger
from .purse import Purse

RAISED = "budget:"


def raise_budget(ledger: Ledger, purse: Purse, text: str) -> Budget:
    """Raise the limits that a text names; what they are then.

    Args:
        text: as `vesalius ask --budget` takes it, such as `calls=80,seconds=900`.

    Raises:
        ToolError: it cannot be read, or would lower a limit.
    """
    budget = raised(purse.budget, text, purse.prices)
    if budget == purse.budget:  # said once more, as a word is that a worker may have died of
        return budget
    number = len(_raises(ledger)) + 1
    ledger.append(f"{RAISED}{number}", "note", {"budget": budget.model_dump(mode="json")})
    purse.budget = budget
    return budget


def budget_in(ledger: Ledger) -> Budget | None:
    """The budget as it was raised last; none where it never was."""
    found = _raises(ledger)
    return Budget.model_validate(found[-1]) if found else None


def _raises(ledger: Ledger) -> list[object]:
    return [entry.body["budget"] for entry in ledger.entries("note") if entry.key.startswith(RAISED)]
