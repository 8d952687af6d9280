"""Printing: the model's text is data, for a person and for a machine."""

import json
import re

from vesalius.agent.commands.output import print_json, print_line, print_table

HOSTILE = "é ⏎ \x1b[31m \x9b \u202e \U000e0001 \ud800 \u200d\n\t"


def test_json_reads_back_as_it_was_and_holds_nothing_that_a_terminal_obeys(capsys):
    print_json({"text": HOSTILE, HOSTILE: [1, None]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": HOSTILE, HOSTILE: [1, None]}
    assert "é ⏎" in out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\U000e0001\ud800]", out)


def test_a_line_is_never_broken_and_shows_what_is_hidden(capsys):
    print_line("a/very/long/path " * 20 + "\x1b")
    assert capsys.readouterr().out == "a/very/long/path " * 20 + "\\u001b\n"


def test_a_cell_is_neither_markup_nor_a_command(capsys):
    print_table(("a", "b"), [("[bold]x[/]", "\x1b[2J")])
    out = capsys.readouterr().out
    assert "[bold]x[/]" in out
    assert "\\u001b[2J" in out


def test_no_cell_is_cut_short(capsys):
    name = "controls.reinitialised_state_class_mean_shift" * 5
    print_table(("metric", "value"), [(name, 1)])
    assert name in "".join(line.split()[0] for line in capsys.readouterr().out.splitlines()[1:])
