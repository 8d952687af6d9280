"""How an audit stands while it runs: what is shown is what is known, and nothing that a model is called moves it."""

import io

from rich.console import Console
from vesalius.agent.audit.standing import ModelStanding, Pace, Standing
from vesalius.agent.commands.live_table import MOST_MODELS, drawn, told


def standing(*models, **more):
    given = {"seconds": 61.0, "left": None, "most_seconds": None, "tokens": 0, "most_tokens": None}
    done, cells = sum(one.done or 0 for one in models), sum(one.cells for one in models)
    return Standing(done, cells, models, **given | more)


def seen(standing, width=80, **more):
    console = Console(file=io.StringIO(), width=width)
    console.print(drawn("nightly", standing, **more))
    return console.file.getvalue()


def test_each_model_stands_with_what_is_done_and_what_goes_on():
    shown = seen(standing(ModelStanding("old", 3, 8, ("capital.4, patch",)), ModelStanding("new", None, 8, ())))
    old, new = (next(line for line in shown.splitlines() if line.startswith(name)) for name in ("old", "new"))
    assert "3/8" in old
    assert "capital.4, patch" in old
    assert "–/8" in new
    assert "waits" in new
    assert "3 of 16 cells done." in shown
    assert max(map(len, seen(standing(ModelStanding("m" * 99, 0, 1, ("x" * 99,))), 40).splitlines())) <= 40


def test_those_at_work_are_shown_and_the_others_counted():
    idle = [ModelStanding(f"idle-{n}", 0, 2, ()) for n in range(30)]
    shown = seen(standing(*idle, ModelStanding("last", 0, 1, ("loading",))))
    assert "last" in shown
    assert f"and {31 - MOST_MODELS} more models" in shown
    assert shown.count("idle-") == MOST_MODELS - 1
    low = seen(standing(*idle, ModelStanding("last", 0, 1, ("loading",))), rows=2)
    assert (low.count("idle-"), "last" in low, "and 29 more models" in low) == (1, True, True)
    assert "last" in seen(standing(*idle, ModelStanding("last", 0, 1, ("loading",))), rows=-3)


def test_names_are_data():
    shown = seen(standing(ModelStanding("[red]x[/red]\x1b[2J", 0, 1, ("a\nb",))), 200)
    assert "[red]x[/red]" in shown
    assert "\x1b[2J" not in shown


def test_what_is_left_and_spent_is_told():
    one = ModelStanding("m", 2, 4, ())
    assert told(standing(one, left=30.0, most_seconds=600.0, tokens=1200, most_tokens=5000)) == (
        "2 of 4 cells done, about 30 s left, 61 s of 10 min gone, 1,200 of 5,000 tokens."
    )
    assert told(standing(one, tokens=7)) == "2 of 4 cells done, 7 tokens."


def test_pace_counts_from_the_first_cell_and_says_nothing_before_one_is_done():
    now = iter([100.0, 110.0, 130.0])
    pace = Pace(lambda: next(now))
    pace.given()
    assert pace.left(6) is None
    pace.done()
    pace.done()
    assert pace.left(6) == 30.0  # two in ten seconds
    pace.given()
    assert pace.left(2) == 30.0  # two in thirty
