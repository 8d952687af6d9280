"""A budget that is raised in the middle of a run."""

from pathlib import Path

import pytest
from vesalius.agent.budget import Budget
from vesalius.agent.ledger import Ledger
from vesalius.agent.purse import Purse
from vesalius.agent.raising import budget_in, raise_budget
from vesalius.tools import ToolError


def test_what_is_named_is_raised_and_holds_when_the_run_is_taken_up_again(tmp_path: Path) -> None:
    purse = Purse(Budget(calls=2, seconds=10))
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        assert budget_in(ledger) is None
        raise_budget(ledger, purse, "calls=5")
        raise_budget(ledger, purse, "seconds=20.5")
    assert purse.budget == Budget(calls=5, seconds=20.5)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        assert budget_in(ledger) == Budget(calls=5, seconds=20.5)


@pytest.mark.parametrize("text", ["calls=1", "cost=3", "tool_seconds=9", "stars=3", "calls"])
def test_nothing_is_lowered_and_nothing_unknown_taken(tmp_path: Path, text: str) -> None:
    purse = Purse(Budget(calls=2))
    with Ledger(tmp_path / "ledger.jsonl") as ledger, pytest.raises(ToolError):
        raise_budget(ledger, purse, text)
    assert purse.budget == Budget(calls=2)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        assert budget_in(ledger) is None
