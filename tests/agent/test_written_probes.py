"""A run whose probes a language model writes: asked once, kept in the ledger, taken up again with the same words."""

import pytest
from finished_runs import DALLAS
from scripted_endpoint import KEY, says, serving
from vesalius.agent.asking import Where, desk_for, start_run
from vesalius.agent.failing import SettingError
from vesalius.agent.investigation import investigate
from vesalius.agent.ledger import read_ledger
from vesalius.agent.planners.interface import Inquiry
from vesalius.agent.planners.llm_endpoint import Endpoint, EndpointError
from vesalius.agent.planners.llm_writing import ProbeWriter
from vesalius.tools import ToolError
from written_probes import writer

PROMPTS = 9  # the asked one and eight with other answers


@pytest.fixture(scope="module")
def good(atlas):
    """A script that answers every request for probes well."""
    family = next(family for family in atlas.tasks if family.name == "two_hop")
    return writer([row.slots for row in family.rows])


def begin(tmp_path, atlas):
    return start_run(Where(tmp_path, use_memory=False), atlas, DALLAS, seed=0, device="cpu", probes_by="tiny")


def endpoint(url: str) -> Endpoint:
    if not url:
        raise SettingError("No language model is set.")
    return Endpoint(base_url=url, model="tiny", api_key=KEY, retries=0)


def go_on(folder, atlas, url: str, n: int = 10_000) -> list[dict]:
    """Go on with a run until all is written, or `n` events have come."""
    seen: list[dict] = []
    where = Where(folder.path.parent.parent, use_memory=False)
    with desk_for(where, atlas, folder, ProbeWriter(lambda: endpoint(url), "tiny", 0)) as desk:
        events = investigate(desk, DALLAS)
        for event in events:
            seen.append(event)
            if len(seen) == n or event.get("key") == "held-out":
                break
        events.close()
    return seen


@pytest.fixture(scope="module")
def whole(atlas, good, tmp_path_factory):
    """A run that wrote everything in one go, what was asked, and what was seen of it."""
    folder = begin(tmp_path_factory.mktemp("whole"), atlas)
    with serving(good) as played:
        return folder, played, go_on(folder, atlas, played.url)


def written(folder):
    return [entry for entry in read_ledger(folder.ledger) if "written" in entry.body]


def test_each_prompt_is_asked_for_once_and_before_what_is_costly(whole):
    folder, played, events = whole
    assert len(played.asked) == PROMPTS
    assert written(folder)[0].key == "written:probes"
    ran = [entry.body["tool"] for entry in read_ledger(folder.ledger) if entry.kind == "measurement"]
    assert set(ran) <= {"next_token", "select_features", "make_probes"}
    assert [event["model"] for event in events if event["event"] == "asking"] == ["tiny"] * PROMPTS
    assert [event["n"] for event in events if event["event"] == "written"] == [16] * PROMPTS


def test_the_asked_prompt_comes_with_the_words_at_which_its_features_peak(whole):
    _, played, _ = whole
    assert played.about(0)["contexts"]
    assert played.about(1)["contexts"] == []


def test_the_ledger_says_who_wrote_what_and_holds_no_key(whole):
    folder, played, _ = whole
    entry = written(folder)[0]
    assert entry.body["written"]["model"] == "tiny-2025"
    assert entry.body["inquiry"]["prompt"] == "the capital of the state containing Dallas is"
    assert entry.body["written"]["probes"][0]["concept"] == "Texas"
    assert read_ledger(folder.ledger)[0].body["planner"] == "protocol, probes by tiny"
    assert set(played.keys) == {f"Bearer {KEY}"}
    assert not [p for p in folder.path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def test_a_run_that_was_stopped_or_found_no_answer_asks_nothing_twice_and_ends_with_the_same_ledger(
    whole, atlas, good, tmp_path
):
    folder = begin(tmp_path, atlas)
    with serving(good, (500, "{}")) as failing, pytest.raises(EndpointError, match="status 500"):
        go_on(folder, atlas, failing.url)
    assert len(written(folder)) == 1
    with pytest.raises(SettingError):
        go_on(folder, atlas, "")
    with serving(good) as played:
        for n in (4, 10_000):
            go_on(folder, atlas, played.url, n)
    assert len(played.asked) == PROMPTS - 1
    hashes = [[entry.hash for entry in read_ledger(one.ledger)] for one in (folder, whole[0])]
    n = min(map(len, hashes))
    assert hashes[0][:n] == hashes[1][:n]
    assert n > PROMPTS


def test_garbage_is_a_finding_in_the_ledger_with_the_reason(atlas, tmp_path):
    folder = begin(tmp_path, atlas)
    told: list[dict] = []
    with (
        serving(says("no")) as played,
        desk_for(Where(tmp_path), atlas, folder, ProbeWriter(lambda: endpoint(played.url), "tiny", 0)) as desk,
    ):
        desk.advice.inquire(Inquiry(key="probes", prompt="Dallas is in", target="Texas"), told.append)
        found = desk.advice.written["probes"]
    assert (found.probes, found.model) == ((), "tiny")
    assert "no list of concepts" in found.problem
    assert told[-1]["problem"] == found.problem
    assert len(written(folder)) == 1


def test_a_run_without_a_writer_says_how_to_go_on(atlas, tmp_path):
    folder = begin(tmp_path, atlas)
    with (
        desk_for(Where(tmp_path, use_memory=False), atlas, folder) as desk,
        pytest.raises(ToolError, match=r"--resume"),
    ):
        list(investigate(desk, DALLAS))
