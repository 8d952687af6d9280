"""Measuring again: the number of now beside the number of the report, one job at a time."""

import json
import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from conftest import make_subject
from served import Served, served
from vesalius.agent.report.schema import Report, read_report
from vesalius.agent.server.pool import MOST_WAITING

SOON = 60.0  # seconds


def report_of(home: Path) -> Report:
    return read_report(home / "runs" / "done" / "report.json")


def ended(page: Served, job: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + SOON
    while job["state"] in ("queued", "running", "stopping"):
        assert time.monotonic() < until, job
        time.sleep(0.01)
        job = page.get(f"/api/jobs/{job['handle']}")
    return job


def again(page: Served, measurement: str) -> dict[str, Any]:
    job = ended(page, page.post(f"/api/runs/done/measurements/{measurement}/verify", status=202))
    assert job["state"] == "done", job
    return job["outcome"]


def changed(home: Path, change: Any) -> str:
    """Change a measurement that a figure of the report's prose rests on; returns its id."""
    path = home / "runs" / "done" / "report.json"
    report = report_of(home)
    cited = {r.id for sentence in report.sentences for r in sentence.references}
    name = next(record.measurement.id for record in report.measurements if record.measurement.id in cited)
    raw = json.loads(path.read_text())
    for record in raw["measurements"]:
        if record["measurement"]["id"] == name:
            change(record["measurement"])
    path.write_text(json.dumps(raw))
    return name


def test_every_measurement_of_a_run_reproduces_with_its_figures_and_loads_its_subject_once(page, home, loaded):
    report = report_of(home)
    figures = 0
    for record in report.measurements:
        found = again(page, record.measurement.id)
        assert (found["outcome"], found["bit_identical"], found["drifts"]) == ("reproduced", True, [])
        assert found["result"] == record.measurement.result
        assert all(figure["was"] == figure["now"] for figure in found["figures"])
        figures += len(found["figures"])
    assert figures > 0
    assert loaded == [report.subject.key.model], "one load for all of them"


def test_a_number_that_was_changed_is_told_beside_what_it_is(page, home):
    where = {}

    def change(measurement: dict[str, Any]) -> None:
        reference = next(
            r
            for s in report_of(home).sentences
            for r in s.references
            if r.id == measurement["id"] and ".-" not in r.path
        )
        where["path"], value = reference.path, measurement["result"]
        *steps, last = [int(step) if step.isdigit() else step for step in reference.path.split(".")]
        for step in steps:
            value = value[step]
        where["was"], value[last] = value[last], value[last] + 1

    found = again(page, changed(home, change))
    assert found["outcome"] == "drifted"
    drift = next(one for one in found["drifts"] if one["path"] == where["path"])
    assert (drift["was"], drift["now"]) == (where["was"] + 1, where["was"])
    assert "digest of the stored result" in [one["path"] for one in found["drifts"]]
    figure = next(one for one in found["figures"] if one["path"] == where["path"])
    assert figure["was"] != figure["now"]


def test_other_weights_than_were_measured_are_refused(home):
    with served(home, lambda name, device: make_subject("gpt2")) as page:
        found = again(page, report_of(home).measurements[0].measurement.id)
    assert (found["outcome"], found["result"]) == ("not reproducible", None)
    assert "other weights than were measured: fingerprint" in found["reason"]


def test_weights_that_were_put_right_are_loaded_again(home, load):
    given = [make_subject("gpt2")]
    with served(home, lambda name, device: given.pop() if given else load(name, device)) as page:
        name = report_of(home).measurements[0].measurement.id
        assert again(page, name)["outcome"] == "not reproducible"
        assert again(page, name)["outcome"] == "reproduced"


def test_a_model_that_is_not_there_is_an_outcome_and_not_remembered_as_one(page, home, loaded):
    def change(measurement: dict[str, Any]) -> None:
        measurement["subject"]["model"] = "nowhere"

    name = changed(home, change)
    for _ in range(2):
        found = again(page, name)
        assert (found["outcome"], "No model nowhere" in found["reason"]) == ("not reproducible", True)
    assert loaded == ["nowhere", "nowhere"]


def test_a_tool_that_is_gone_is_an_outcome(page, home):
    found = again(page, changed(home, lambda measurement: measurement.update(tool="phrenology")))
    assert (found["outcome"], "no tool `phrenology`" in found["reason"]) == ("not reproducible", True)


@pytest.fixture
def held(home, load) -> Any:
    """A server whose first load waits, and what lets it go on."""
    go = Event()

    def slow(name: str, device: str) -> Any:
        assert go.wait(SOON)
        return load(name, device)

    with served(home, slow) as page:
        try:
            yield page, go
        finally:
            go.set()


def test_jobs_wait_their_turn_and_the_same_measurement_is_not_queued_twice(held, home):
    page, go = held
    ids = [record.measurement.id for record in report_of(home).measurements[:3]]
    jobs = [page.post(f"/api/runs/done/measurements/{i}/verify", status=202) for i in ids]
    twice = page.post(f"/api/runs/done/measurements/{ids[1]}/verify", status=202)
    assert twice["handle"] == jobs[1]["handle"]
    assert [page.get(f"/api/jobs/{job['handle']}")["ahead"] for job in jobs] == [0, 1, 2]
    stopped = ended(page, page.post(f"/api/jobs/{jobs[1]['handle']}/stop", status=200))
    assert stopped["state"] == "stopped"
    go.set()
    assert [ended(page, job)["state"] for job in jobs] == ["done", "stopped", "done"]
    assert page.get("/api/runs/done")["run"], "reading goes on meanwhile"


def test_a_full_queue_is_refused(held, home):
    page, _ = held
    ids = [record.measurement.id for record in report_of(home).measurements]
    (folder,) = (home / "runs").iterdir()
    statuses = []
    for n in range(MOST_WAITING + 2):
        other = folder.with_name(f"copy-{n}")
        other.symlink_to(folder)
        answer = page.client.post(
            f"/api/runs/{other.name}/measurements/{ids[0]}/verify", headers={"x-vesalius-csrf": page.access.csrf}
        )
        statuses.append(answer.status_code)
    assert statuses == [202] * (MOST_WAITING + 1) + [429]


def test_a_mistake_of_ours_ends_the_job_and_not_the_server(home):
    def mistaken(name: str, device: str) -> Any:
        raise RuntimeError("out of memory")

    with served(home, mistaken) as page:
        name = report_of(home).measurements[0].measurement.id
        for _ in range(2):
            job = ended(page, page.post(f"/api/runs/done/measurements/{name}/verify", status=202))
            assert (job["state"], job["error"]) == ("failed", "RuntimeError: out of memory")


def test_a_measurement_or_a_job_that_is_not_there_is_not_found(page):
    page.post("/api/runs/done/measurements/m-00000000/verify", status=404)
    page.get("/api/jobs/j9", 404)
    page.post("/api/jobs/j9/stop", status=404)
    page.get("/api/jobs/..", 404)
