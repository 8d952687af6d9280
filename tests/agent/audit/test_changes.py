"""Two audits side by side: what newly fails is named first, and nothing that was asked is lost from sight."""

import json

import pytest
from agent_audited import a_cell, a_claim, answered
from typer.testing import CliRunner
from vesalius.agent.audit.changes import KINDS, Kind, changes, of_model, read_table
from vesalius.agent.audit.table import table_of
from vesalius.agent.audit.written import jsonl
from vesalius.agent.cli import app
from vesalius.agent.runs import UnreadableFile

FAILS = {"fails_if": ("refuted",)}
HELD, BROKEN = a_claim(), a_claim(verdict="refuted")


def table(*cells):
    """Of cells with their claims; none for a cell that is not done."""
    done = {cell: answered(cell, *claims) for cell, claims in cells if claims is not None}
    return table_of("a", [cell for cell, _ in cells], done)


def rows(*cells):
    return table(*cells).rows


def test_every_kind_of_change_is_told_what_matters_most_first():
    one, two, three, four, five, six, seven = (a_cell(name, **FAILS) for name in "abcdefg")
    was = rows((one, [HELD]), (two, [HELD]), (three, [BROKEN]), (four, [HELD]), (five, [HELD]), (six, None))
    now = rows((one, [HELD]), (two, [BROKEN]), (three, [HELD]), (four, []), (six, [HELD]), (seven, [HELD]))
    found = changes(was, now)
    expected: dict[str, Kind] = {
        "b": "newly fails",
        "c": "fails no more",
        "d": "found otherwise",
        "a": "same",
        "e": "only in A",
        "g": "only in B",
        "f": "not done",
    }
    assert {one.item: one.kind for one in found} == expected
    assert [one.kind for one in found] == list(KINDS)
    assert (found[0].was, found[0].now) == (("supported", "premise_holds"), ("refuted", "premise_holds"))
    assert (found[-1].was, found[-1].same_weights) == (None, None)


def test_whether_the_weights_are_the_same_is_told():
    cell = a_cell()
    (before,) = rows((cell, [HELD]))
    other = before.model_copy(update={"outcome": answered(cell, HELD, fingerprint="other")})
    assert changes([before], [before])[0].same_weights is True
    assert changes([before], [other])[0].same_weights is False


def test_one_model_is_held_against_another_whatever_they_are_called():
    both = rows((a_cell(subject="old"), [HELD]), (a_cell(subject="new"), [BROKEN]))
    sides = [of_model(both, label, "t", "old and new") for label in ("old", "new")]
    (only,) = changes(*sides)
    assert (only.subject, only.kind) == ("old and new", "found otherwise")
    with pytest.raises(UnreadableFile, match=r"t has no model 'older'; it has: old, new\."):
        of_model(both, "older", "t", "x")


def test_a_table_is_read_as_it_was_written_also_with_line_separators_in_an_answer(tmp_path):
    cell = a_cell()
    written = table((cell, [HELD]))
    odd = written.rows[0].model_copy(update={"outcome": answered(cell, HELD, answer="one\u2028two\x85three")})
    path = tmp_path / "table.jsonl"
    path.write_text(jsonl(written.model_copy(update={"rows": (odd,)})))
    assert read_table(path) == (odd,)
    path.write_text(path.read_text() * 2)
    with pytest.raises(UnreadableFile, match="item 'one' of 'atlas' with seed 0 twice"):
        read_table(path)


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"item": "x"}'])
def test_what_is_no_table_is_told_with_its_line(text, tmp_path):
    path = tmp_path / "table.jsonl"
    path.write_text(text)
    with pytest.raises(UnreadableFile, match="line 1 is no row of an audit's table"):
        read_table(path)
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_table(tmp_path / "none.jsonl")


def compared(tmp_path, was, now, *more):
    for name, side in (("was", was), ("now", now)):
        (tmp_path / f"{name}.jsonl").write_text(jsonl(table(*side)))
    paths = [str(tmp_path / f"{name}.jsonl") for name in ("was", "now")]
    return CliRunner().invoke(app, ["audit", "compare", *paths, "--home", str(tmp_path), *more])


def test_the_status_stops_a_release_where_something_newly_fails_or_was_not_asked(tmp_path):
    cell, other = a_cell(**FAILS), a_cell("other", **FAILS)
    better = compared(tmp_path, [(cell, [BROKEN])], [(cell, [HELD]), (other, [HELD])])
    assert better.exit_code == 0, better.output
    assert "2 cells: 1 fails no more, 1 only in B." in better.output
    added = compared(tmp_path, [(cell, [HELD])], [(cell, [HELD]), (a_cell("new", **FAILS), [BROKEN])])
    assert added.exit_code == 1
    assert "1 newly fails" in added.output
    worse = compared(tmp_path, [(cell, [HELD])], [(cell, [BROKEN])])
    assert worse.exit_code == 1
    assert "newly fails (*)" in worse.output
    assert "The weights are the same" in worse.output
    assert compared(tmp_path, [(cell, [HELD]), (other, [HELD])], [(cell, [HELD])]).exit_code == 1
    assert compared(tmp_path, [(cell, [HELD])], [(cell, None)]).exit_code == 1


def test_a_program_gets_every_cell(tmp_path):
    cell = a_cell(**FAILS)
    found = json.loads(compared(tmp_path, [(cell, [HELD])], [(cell, [HELD])], "--json").stdout)
    assert found["counts"] == {kind: int(kind == "same") for kind in KINDS}
    assert found["cells"][0]["kind"] == "same"
    alone = compared(tmp_path, [(cell, [HELD])], [(cell, [HELD])], "--model-a", "atlas")
    assert alone.exit_code == 2
    assert "--model-b" in alone.output
