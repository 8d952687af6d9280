"""Ready batteries: each can be read, asked, and found by name."""

import json

import pytest
from typer.testing import CliRunner
from vesalius.agent.audit.cells import cells_of
from vesalius.agent.audit.ready import FOLDER, batteries
from vesalius.agent.audit.spec import read_spec
from vesalius.agent.cli import app
from vesalius.agent.commands.asking import read_pairs
from vesalius.agent.runs import UnreadableFile
from vesalius.agent.settings import Settings

SPEC = "audit: a\nsubjects: [{model: atlas}]\nbatteries: [%s]\n"


def cells(tmp_path, *names, more=""):
    path = tmp_path / "a.yaml"
    path.write_text(SPEC % ", ".join(names) + more)
    return cells_of(*read_spec(path), tmp_path, Settings(home=tmp_path))


@pytest.mark.parametrize("name", sorted(batteries().keys() - {"release-diff"}))  # that one needs a run: test_earlier.py
def test_every_battery_can_be_asked_of_a_model(name, tmp_path):
    found = cells(tmp_path, name)
    assert found
    assert {cell.subject for cell in found} == {"atlas"}
    for cell in found:
        assert not cell.pairs or len({pair.cluster or pair.clean for pair in cell.pairs}) >= 12


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.csv")), ids=lambda path: path.stem)
def test_pairs_of_a_battery_are_the_same_but_for_what_they_are_about(path):
    for pair in read_pairs(path):
        assert pair.clean.split()[0] == pair.corrupted.split()[0]
        assert (
            pair.clean.split()[-1] == pair.corrupted.split()[-1] or pair.clean.split()[:3] == pair.corrupted.split()[:3]
        )


def test_items_and_batteries_stand_side_by_side_and_no_two_have_one_name(tmp_path):
    more = 'items: [{id: own, question: "Does a word trigger another answer?"}]\n'
    assert [cell.item for cell in cells(tmp_path, "gender-bias", more=more)] == ["own", "gender-bias"]
    with pytest.raises(UnreadableFile, match="more than one item is called gender-bias"):
        cells(tmp_path, "gender-bias", more=more.replace("own", "gender-bias"))


def test_a_battery_that_is_not_there_is_refused_with_its_line_and_those_that_are(tmp_path):
    with pytest.raises(UnreadableFile, match=r"line 3, `batteries\[0\]`: There is no battery 'x'; .*gender-bias"):
        cells(tmp_path, "x")
    with pytest.raises(UnreadableFile, match="batteries gender-bias more than once"):
        cells(tmp_path, "gender-bias", "gender-bias")


def test_a_spec_that_asks_nothing_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("audit: a\nsubjects: [{model: atlas}]\n")
    with pytest.raises(UnreadableFile, match="give `items` or `batteries`"):
        read_spec(tmp_path / "a.yaml")


def test_they_are_listed_with_what_they_need():
    told = json.loads(CliRunner().invoke(app, ["audit", "batteries", "--json"]).stdout)
    assert {*told} == {*batteries()}
    said = CliRunner().invoke(app, ["audit", "batteries"]).stdout
    assert all(name in said and one["about"] in said for name, one in told.items())
