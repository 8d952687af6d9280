"""Groups of nodes: kept whole, by nobody overwritten unseen, and never about nodes that are not there."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from graph_pages import graph, graph_run
from served import HOSTILE, Served, served
from vesalius.agent.runs import RunFolder
from vesalius.agent.server.groups import (
    LARGEST_FILE,
    GroupsWanted,
    NodeSet,
    StaleGroups,
    keep_groups,
    own_groups,
    read_groups,
)
from vesalius.agent.server.guard import CSRF_HEADER, MOST_BODY
from vesalius.tools import Measurement, SubjectKey, digest

ONE = {"name": "Texas", "members": ["0/1@1", "0/2@1"]}
OTHER = {"name": "Say", "members": ["1/5@2", "error.0@2", "logit.9@2"]}


class Asked(NamedTuple):
    """A run with a graph, and a client of its server."""

    page: Served
    folder: RunFolder
    graph: Measurement

    @property
    def path(self) -> str:
        return f"/api/runs/{self.folder.name}/graphs/{self.graph.id}"

    @property
    def file(self) -> Path:
        return self.folder.path / f"groups-{self.graph.id}.json"

    def groups(self, status: int = 200) -> Any:
        return self.page.get(f"{self.path}/groups", status)

    def keep(self, *groups: dict[str, Any], revision: int = 0, status: int = 201) -> Any:
        return self.page.post(f"{self.path}/groups", {"revision": revision, "groups": groups}, status)


@pytest.fixture
def asked(tmp_path: Path, load: Any) -> Iterator[Asked]:
    folder, (name,) = graph_run(tmp_path, graph())
    with served(tmp_path, load) as page:
        found = folder.kept(name)
        assert found is not None
        yield Asked(page, folder, found)


def named(asked: Asked) -> None:
    """The run names two groups of features, as probe prompts do; nobody tested a name."""
    result = {
        "probes": [],
        "features": [],
        "supernodes": [
            {"name": HOSTILE, "features": ["0/1", "0/2"]},
            {"name": "N" * 10_000, "features": ["1/5"]},
            {"name": "elsewhere", "features": ["3/3"]},
        ],
        "dictionary_digest": "d" * 64,
    }
    key = SubjectKey(model="none", fingerprint="f" * 64)
    args = {"prompt": asked.graph.result["prompt"]}
    asked.folder.keep(
        Measurement(
            id="m-00aa11bb",
            tool="probe_prompts",
            subject=key,
            args=args,
            result=result,
            digest=digest(result),
            seconds=1.0,
        )
    )


def test_groups_are_kept_on_disk_and_count_their_revisions(asked):
    assert asked.groups() == {"revision": 0, "groups": []}
    assert asked.keep(ONE) == {"revision": 1, "groups": [ONE]}
    assert asked.keep(ONE, OTHER, revision=1)["revision"] == 2
    assert asked.groups() == {"revision": 2, "groups": [ONE, OTHER]}
    assert [path.name for path in asked.folder.path.glob("*groups*")] == [asked.file.name]  # and nothing half written


def test_whoever_comes_second_is_told_and_changes_nothing(asked):
    asked.keep(ONE)
    refused = asked.keep(OTHER, status=409)
    assert "revision 1" in refused["error"]
    assert asked.groups() == {"revision": 1, "groups": [ONE]}
    asked.keep(OTHER, revision=7, status=409)
    assert asked.keep(OTHER, revision=1)["revision"] == 2


def test_of_many_at_once_one_is_kept(asked):
    told: list[str] = []

    def change(number: int) -> None:
        wanted = GroupsWanted(revision=0, groups=(NodeSet(name=f"group {number}", members=("0/1@1",)),))
        try:
            told.append(keep_groups(asked.folder, asked.graph, wanted).groups[0].name)
        except StaleGroups:
            told.append("")

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (kept,) = [name for name in told if name]
    assert len(told) == 8
    assert read_groups(asked.folder, asked.graph).groups[0].name == kept


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ([{"name": "a", "members": ["9/9@9"]}], "no node"),
        ([{"name": "a", "members": ["token@1"]}], "is a token"),
        ([{"name": "a", "members": ["0/1@1", "0/1@1"]}], "more than one place"),
        ([ONE, {"name": "b", "members": ["0/1@1"]}], "more than one place"),
        ([ONE, ONE | {"members": ["1/5@2"]}], "are called"),
        ([{"name": "", "members": ["0/1@1"]}], "name"),
        ([{"name": "  ", "members": ["0/1@1"]}], "no name"),
        ([{"name": "n" * 81, "members": ["0/1@1"]}], "80"),
        ([{"name": "a", "members": []}], "members"),
        ([{"name": "a", "members": ["0/1@1"], "more": 1}], "more"),
        ([{"name": "a", "members": ["x" * 61]}], "60"),
    ],
)
def test_groups_that_are_none_are_refused_with_why_and_nothing_is_written(asked, groups, why):
    assert why in asked.keep(*groups, status=422)["error"]
    assert not asked.file.exists()


def test_half_a_character_is_refused_and_not_written(asked):
    raw = r'{"revision": 0, "groups": [{"name": "a\ud800", "members": ["0/1@1"]}]}'
    headers = {CSRF_HEADER: asked.page.access.csrf, "content-type": "application/json"}
    answer = asked.page.client.post(f"{asked.path}/groups", content=raw, headers=headers)
    assert (answer.status_code, set(answer.json())) == (422, {"error", "mend"})
    assert not asked.file.exists()


def test_more_groups_than_a_page_can_show_are_refused(asked):
    many = [{"name": f"g{i}", "members": ["0/1@1"]} for i in range(501)]
    assert "500" in asked.keep(*many, status=422)["error"]
    asked.keep({"name": "a", "members": ["0/1@1"] * MOST_BODY}, status=413)


def test_a_change_needs_the_header_that_only_our_page_can_send(asked):
    body = {"revision": 0, "groups": [ONE]}
    assert asked.page.client.post(f"{asked.path}/groups", json=body).status_code == 403
    asked.page.post(f"{asked.path}/groups", body, 403, **{CSRF_HEADER: "wrong"})
    asked.page.post(f"{asked.path}/groups", body, 403, origin="http://evil.example")
    assert not asked.file.exists()


def test_a_file_that_holds_no_groups_is_told_and_not_overwritten(asked, tmp_path):
    elsewhere = tmp_path / "elsewhere.json"
    asked.keep(ONE)
    elsewhere.write_text(asked.file.read_text())
    for text, why in (
        ("{", "JSON"),
        ('{"revision": -1, "groups": []}', "revision"),
        ('{"revision": 1, "groups": [{"name": "a", "members": ["9/9@9"]}]}', "no node"),
        (" " * (LARGEST_FILE + 1), "larger"),
    ):
        asked.file.write_text(text)
        told = asked.groups(422)["error"]
        assert why in told
        assert "take it away" in told
        assert str(asked.folder.path) not in told
        asked.keep(OTHER, revision=1, status=422)
        assert asked.file.read_text() == text
    asked.file.unlink()
    asked.file.symlink_to(elsewhere)
    assert "no plain file" in asked.groups(422)["error"]
    asked.page.get(asked.path)  # the graph itself is shown all the same


def test_until_somebody_changes_them_groups_are_the_runs_own_and_unconfirmed_names_say_so(asked):
    named(asked)
    first, second = asked.groups()["groups"]
    assert first["members"] == ["0/1@1", "0/2@1"]
    assert first["name"].startswith("?<script>")
    assert "\u202e" not in first["name"]
    assert second["name"] == "?" + "N" * 79
    assert asked.groups()["revision"] == 0
    assert asked.keep(first, second)["groups"] == [first, second]  # what is shown can be kept


def test_an_export_holds_the_groups_that_are_kept(asked):
    before = asked.page.get(f"{asked.path}/export/neuronpedia")
    assert before["qParams"]["supernodes"] == []
    named(asked)
    own = asked.page.get(f"{asked.path}/export/neuronpedia")
    assert [group[1:] for group in own["qParams"]["supernodes"]] == [["0_1_1", "0_2_1"], ["1_5_2"]]
    assert "unconfirmed" in own["metadata"]["info"]["description"]
    asked.keep(ONE, OTHER)
    after = asked.page.client.get(f"{asked.path}/export/neuronpedia")
    file = after.json()
    assert file["qParams"]["supernodes"] == [["Texas", "0_1_1", "0_2_1"], ["Say", "1_5_2", "0_0_2", "3_9_2"]]
    assert {"0_1_1", "1_5_2"} <= set(file["qParams"]["pinnedIds"])
    assert "as a person grouped them" in file["metadata"]["info"]["description"]
    assert after.headers["content-disposition"].startswith("attachment; filename=")
    assert len(file["links"]) == len(asked.graph.result["links"])


def test_answers_less_a_foil_are_grouped_and_exported_under_the_files_own_ids(tmp_path, load):
    links = {("token@1", "0/1@1"): 1.0, ("0/1@1", "logit.9-4@2"): 1.0}
    foiled = graph(links, nodes={"logit.9-4@2": {"label": "output 'Austin' minus 'Boston' (p=0.500)", "token_id": 9}})
    folder, (name,) = graph_run(tmp_path, foiled)
    path = f"/api/runs/{folder.name}/graphs/{name}"
    with served(tmp_path, load) as page:
        page.post(f"{path}/groups", {"revision": 0, "groups": [{"name": "out", "members": ["logit.9-4@2"]}]})
        assert page.get(f"{path}/export/neuronpedia")["qParams"]["supernodes"] == [["out", "3_9_2"]]


def test_a_run_that_named_nothing_has_no_groups(asked):
    assert own_groups(asked.folder, asked.graph).groups == ()
