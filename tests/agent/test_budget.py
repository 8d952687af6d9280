"""A budget is read strictly, counted from what was said and measured, and says which part of it is reached."""

from itertools import count

import pytest
from vesalius.agent import purse as purse_module
from vesalius.agent.budget import Budget, Prices, Spent, budget_of, reached, spent, told
from vesalius.agent.planners.llm_turns import Turn
from vesalius.agent.purse import Purse
from vesalius.tools import ToolError

TURN = Turn(number=1, mode="native", model="tiny", tokens_in=900, tokens_out=100)
NOTHING = Spent(calls=0, tokens=0, cost=0.0, tool_seconds=0.0, seconds=0.0)


def gone(**more: float) -> Spent:
    return Spent.model_validate({**NOTHING.model_dump(), **more})


def test_what_is_named_is_limited_and_the_rest_stays_as_it_is():
    assert budget_of("calls=7, seconds=1.5", Prices()) == Budget(calls=7, seconds=1.5)
    assert budget_of("", Prices()) == Budget()


@pytest.mark.parametrize(
    "text",
    ["calls", "calls=", "calls=x", "calls=0", "calls=-1", "calls=1.5", "calls=1,calls=2", "money=3", "=3"]
    + [f"seconds={bad}" for bad in ("nan", "inf", "-inf", "1e999", "0")],
)
def test_a_budget_that_limits_nothing_that_can_be_is_refused(text: str):
    with pytest.raises(ToolError, match="Write NAME=NUMBER"):
        budget_of(text, Prices())


def test_a_cost_needs_a_price():
    with pytest.raises(ToolError, match="VESALIUS_PLANNER_PRICE_IN"):
        budget_of("cost=1", Prices())
    assert budget_of("cost=1", Prices(per_million_in=2.0)).cost == 1


def test_turns_are_counted_with_their_tokens_and_their_price():
    found = spent([TURN, TURN], Prices(per_million_in=10.0, per_million_out=100.0), 3.0, 4.0)
    assert found == Spent(calls=2, tokens=2000, cost=2 * (900 * 10 + 100 * 100) / 1e6, tool_seconds=3.0, seconds=4.0)


def test_each_limit_is_reached_at_its_own_figure_and_not_before():
    limits = Budget(calls=3, tokens=10, cost=0.5, tool_seconds=10.0, seconds=100.0)
    assert reached(limits, gone(calls=2, tokens=9, cost=0.49, tool_seconds=6.9, seconds=69.0), exploring=True) == ""
    assert "3 calls" in reached(limits, gone(calls=3), exploring=True)
    assert "10 tokens" in reached(limits, gone(tokens=11), exploring=True)
    assert "0.5 cost" in reached(limits, gone(cost=0.5), exploring=True)


def test_exploration_leaves_time_for_confirmation():
    limits = Budget(seconds=100.0, tool_seconds=10.0)
    assert "100 seconds" in reached(limits, gone(seconds=70.0), exploring=True)
    assert "seconds of instruments" in reached(limits, gone(tool_seconds=7.0), exploring=True)
    assert reached(limits, gone(seconds=99.0, tool_seconds=9.9), exploring=False) == ""
    assert "100 seconds" in reached(limits, gone(seconds=100.0), exploring=False)


def test_limits_are_told_in_plain_figures():
    assert "of 1,000,000" in told(Budget(), gone(tokens=12_345))
    assert "12,345" in told(Budget(), gone(tokens=12_345))
    assert "1e+06" not in reached(Budget(), gone(tokens=10**6), exploring=True)
    assert told(Budget(calls=None, tokens=None), NOTHING) == ""


def test_what_is_said_costs_nothing_once_exploring_is_over_and_time_does(monkeypatch: pytest.MonkeyPatch):
    clock = count(0.0, 60.0)
    monkeypatch.setattr(purse_module.time, "monotonic", lambda: next(clock))
    purse = Purse(Budget(calls=1, seconds=1000.0))
    assert (
        purse.reached([TURN], lambda: 0.0, exploring=True) == "the budget of 1 calls of the language model is reached"
    )
    assert purse.reached([TURN], lambda: 0.0, exploring=False) == ""
    late = [purse.reached([], lambda: 0.0, exploring=False) for _ in range(20)]
    assert late[0] == ""
    assert "1,000 seconds" in late[-1]
