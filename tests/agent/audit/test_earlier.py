"""Claims of earlier reports as items: which reports are meant, and what comes of them on other weights."""

import shutil
from pathlib import Path

import pytest
from finished_runs import finish
from vesalius.agent.asking import Where
from vesalius.agent.audit.cells import PROGRAM, cells_of
from vesalius.agent.audit.outcome import Again, blank
from vesalius.agent.audit.ray_actor import LetterBox
from vesalius.agent.audit.spec import read_spec
from vesalius.agent.audit.store import Store
from vesalius.agent.audit.table import table_of
from vesalius.agent.audit.working import _answer
from vesalius.agent.planners.interface import ContrastPair
from vesalius.agent.runs import UnreadableFile
from vesalius.agent.settings import Settings

WOMEN = ("Mary", "Patricia", "Jennifer", "Linda", "Elizabeth", "Barbara", "Susan", "Jessica", "Sarah", "Karen")
MEN = ("James", "John", "Robert", "Michael", "William", "David", "Richard", "Joseph", "Thomas", "Daniel")
PAIRS = tuple(
    ContrastPair(clean=f"{one} said that", corrupted=f"{other} said that", answer="she", foil="he")
    for one, other in zip((*WOMEN, "Lisa", "Nancy"), (*MEN, "Mark", "Paul"), strict=True)
)
SPEC = "audit: a\nsubjects: [{model: atlas}]\nitems: [{id: x, claims: %s}]\n"


@pytest.fixture
def asked(atlas, tmp_path):
    return finish(Where(tmp_path, use_memory=False), atlas, "Does the answer depend on the name?", PAIRS)


def cells(text, home):
    (home / "a.yaml").write_text(text)
    return cells_of(*read_spec(home / "a.yaml"), home, Settings(home=home))


def test_a_run_a_report_and_a_model_name_the_same_claims_and_where_they_lie_is_no_part_of_the_key(asked, tmp_path):
    run = asked.folder.path
    (tmp_path / "copy.json").write_bytes((run / "report.json").read_bytes())
    battery = "audit: a\nsubjects: [{model: atlas}]\nbaseline: atlas\nbatteries: [release-diff]\n"
    texts = [SPEC % name for name in (run.name, "copy.json", "atlas")] + [battery]
    found = [cells(text, tmp_path) for text in texts]
    assert [len(one) for one in found] == [1, 1, 1, 1]
    assert {one[0].report_digest for one in found} == {found[0][0].report_digest}
    assert len({one[0].asked for one in found[:3]}) == 1
    assert found[3][0].fails_if == ("weakened", "moved", "broke", "unanswerable", "failed")


def test_by_the_name_of_a_model_neither_its_own_runs_nor_comparisons_are_meant(asked, tmp_path):
    (before,) = cells(SPEC % "atlas", tmp_path)
    for name in ("a.x.atlas.0.0123456789ab", "other.x.atlas.0.0123456789ab"):
        shutil.copytree(asked.folder.path, tmp_path / "runs" / name)
    (tmp_path / "runs" / "other.x.atlas.0.0123456789ab" / "comparison.json").write_text("{}")
    (again,) = cells(SPEC % "atlas", tmp_path)
    assert (again, again.asked) == (before, before.asked)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SPEC % "nowhere", "line 3, `items.0.`: there is no run, report or model 'nowhere'"),
        (SPEC % '"{baseline}"', "give `baseline`"),
        (SPEC % "atlas, pairs: p.csv", "leave `matrix` and `pairs` out"),
        (SPEC % "atlas, question: 'Does a word trigger another answer?'", "give one of `question`, `feature` and"),
    ],
)
def test_what_names_no_claims_is_refused_with_its_line(text, told, tmp_path):
    with pytest.raises(UnreadableFile, match=told.replace("[", r"\[")):
        cells(text, tmp_path)


def test_claims_hold_on_the_same_weights_and_are_told_so(asked, atlas, tmp_path):
    (cell,) = cells(SPEC % asked.folder.path.name, tmp_path)
    answer = _answer(cell, atlas, Settings(home=tmp_path), "a", lambda step: None)
    store = Store(tmp_path, "a")
    from vesalius.agent.audit.outcome import Outcome

    found = Outcome.model_validate(answer["done"])
    assert [one.label for one in found.again] == ["held"]
    store.keep_weights(cell.model, found.fingerprint)
    store.keep(cell, found, answer["seconds"])
    (row,) = table_of("a", [cell], store.found([cell])).rows
    assert row.found == ("supported", "held")
    assert (tmp_path / "runs" / found.run / "comparison.json").is_file()


def test_a_worker_on_a_node_without_the_report_is_sent_it_and_ends_with_the_same(asked, atlas, tmp_path):
    (cell,) = cells(SPEC % asked.folder.path.name, tmp_path)
    settings = Settings(home=tmp_path, device="cpu")
    here = _answer(cell, atlas, settings, "a", lambda step: None)
    content = Path(cell.report).read_bytes()
    elsewhere = cell.model_dump(mode="json") | {"report": "/no/such/report.json"}
    box = LetterBox()
    box.begin(settings, "a", download=False, model="atlas", program=PROGRAM)
    heard, _ = box.hear()
    assert "loaded" in heard
    box.ask(elsewhere, [], content)
    files = {}
    while "done" not in heard:
        heard, some = box.hear()
        files |= dict(some)
    box.clear()
    assert heard["done"] == here["done"]
    assert "comparison.json" in files


def test_a_report_that_changed_since_is_not_tested(asked, atlas, tmp_path):
    (cell,) = cells(SPEC % asked.folder.path.name, tmp_path)
    changed = cell.model_copy(update={"report_digest": "other"})
    answer = _answer(changed, atlas, Settings(home=tmp_path), "a", lambda step: None)
    assert "has changed since the audit began" in answer["done"]["unanswerable"]


@pytest.mark.parametrize(
    ("labels", "more", "found"),
    [
        (("weakened", "moved"), {}, {"weakened", "moved"}),
        (("held",), {"is_gone": True}, {"held", "broke"}),
        (("held",), {"is_rarer": True}, {"held", "weakened"}),
        (("not testable", "newly supported", "unchanged"), {}, {"not_testable", "changed"}),
    ],
)
def test_every_label_is_a_word_of_the_table(labels, more, found, asked, tmp_path):
    (cell,) = cells(SPEC % asked.folder.path.name, tmp_path)
    again = tuple(Again(claim=f"c{i}", label=label, reason="so") for i, label in enumerate(labels))
    outcome = blank(cell, "w").model_copy(update={"again": again, **more})
    (row,) = table_of("a", [cell], {cell: outcome}).rows
    assert {*row.found} == found | {"unclaimed"}
