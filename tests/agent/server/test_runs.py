"""Runs are listed and read: also unfinished and broken ones, which say why and break nothing else."""

import json
import shutil
from pathlib import Path

import pytest
from finished_runs import a_run
from served import HOSTILE
from vesalius.agent.report.schema import read_report
from vesalius.agent.reviews import FILE, report_digest
from vesalius.agent.runs import RunFolder
from vesalius.agent.summary import summary_of


def copied(home: Path, name: str, **changes: object) -> Path:
    """Another run, with other contents at the top of its report."""
    folder = home / "runs" / name
    shutil.copytree(home / "runs" / "done", folder)
    found = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps(found | changes))
    return folder


def names(page, **filters: object) -> list[str]:
    return [run["name"] for run in page.get("/api/runs", params=filters)["runs"]]


def test_runs_are_listed_newest_first_with_question_model_claims_and_review(page, home):
    copied(home, "earlier", question="Where?")
    copied(home, "zuletzt", question="When?")
    listed = page.get("/api/runs")
    assert [run["name"] for run in listed["runs"]] == ["zuletzt", "earlier", "done"]
    assert (listed["total"], listed["matched"]) == (3, 3)
    report = read_report(home / "runs" / "done" / "report.json")
    done = listed["runs"][-1]
    assert done["question"] == report.question
    assert done["claims"] == [
        {"id": c.id, "verdict": c.judgement.verdict, "tier": c.judgement.tier} for c in report.claims
    ]
    assert len(done["claims"]) == 2
    assert (done["state"], done["review"], done["reviewers"]) == ("finished", "untouched", [])
    assert listed["models"] == [report.subject.key.model]


def test_a_stretch_of_the_list_can_be_asked_for(page, home):
    copied(home, "a-1")
    copied(home, "a-2")
    listed = page.get("/api/runs", params={"start": 1, "most": 1})
    assert ([run["name"] for run in listed["runs"]], listed["matched"]) == (["a-2"], 3)


def test_text_is_looked_for_word_by_word_in_any_case_in_question_name_and_model(page, home):
    copied(home, "capitals", question="Why does it say Austin?")
    assert names(page, text="AUSTIN why") == ["capitals"]
    assert names(page, text="capit") == ["capitals"]
    assert names(page, text="Austin Dallas") == []
    assert names(page, text="") == ["done", "capitals"]


def test_verdict_and_tier_have_to_belong_to_one_claim(page, home):
    claims = json.loads((home / "runs" / "done" / "report.json").read_text())["claims"]
    assert [claim["judgement"]["verdict"] for claim in claims] == ["supported", "refuted"]
    claims[1]["judgement"]["tier"] = "observed"
    copied(home, "weak", claims=claims)
    assert names(page, verdict="supported", tier="controlled") == ["weak", "done"]
    assert names(page, verdict="supported", tier="observed") == []
    assert names(page, verdict="refuted", tier="observed") == ["weak"]
    assert names(page, tier="observed") == ["weak"]
    assert names(page, verdict="refuted") == ["weak", "done"]
    assert names(page, verdict="inconclusive") == []
    page.get("/api/runs", 422, params={"verdict": "true"})


def test_a_model_is_looked_for_by_its_whole_name(page, home):
    model = page.get("/api/runs")["models"][0]
    assert names(page, model=model) == ["done"]
    assert names(page, model=model[:-1]) == []


def test_the_review_state_is_a_filter(page, home):
    copied(home, "other")
    page.decide("accept")
    assert names(page, review="begun") == ["done"]
    assert names(page, review="untouched") == ["other"]
    page.decide("reject", "c2", reviewer="Grace")
    assert names(page, review="decided") == ["done"]
    page.decide("sign_off", None)
    assert names(page, review="signed") == ["done"]
    assert page.get("/api/runs", params={"review": "signed"})["runs"][0]["reviewers"] == ["Ada", "Grace"]
    copied(home, "renewed", seconds=1.0)  # a report written anew, with the decisions about the one before
    assert names(page, review="outdated") == ["renewed"]


def test_a_run_without_a_report_is_listed_as_unfinished_and_its_measurements_can_be_read(page, home):
    report = read_report(home / "runs" / "done" / "report.json")
    measurement = report.measurements[0].measurement
    folder = a_run(home, measurement)
    listed = {run["name"]: run for run in page.get("/api/runs")["runs"]}
    assert (listed[folder.name]["state"], listed[folder.name]["question"]) == ("unfinished", "Why?")
    assert "no report yet" in page.get(f"/api/runs/{folder.name}", 422)["error"]
    found = page.get(f"/api/runs/{folder.name}/measurements/{measurement.id}")
    assert found["measurement"]["digest"] == measurement.digest
    assert found["phase"] is None
    page.get(f"/api/runs/{folder.name}/measurements/m-00000000", 404)
    assert names(page, review="untouched") == ["done"], "what has no report waits for no review"


def test_broken_runs_say_why_and_the_others_are_listed(page, home):
    (copied(home, "b-json") / "report.json").write_text("{")
    copied(home, "b-version", schema_version="0")
    copied(home, "b-claims", claims=[{"id": "c1"}])
    (copied(home, "b-record") / FILE).write_text("nothing\n")
    folder = a_run(home)
    (folder.path / "run.json").write_text("[]")
    listed = {run["name"]: run for run in page.get("/api/runs")["runs"]}
    assert listed["done"]["state"] == "finished"
    for name, why in [
        ("b-json", "no report"),
        ("b-version", "schema version '0'"),
        ("b-claims", "claims.0.judgement: Field required"),
        (folder.name, "not as it was written"),
    ]:
        assert (listed[name]["state"], listed[name]["review"]) == ("broken", "untouched")
        assert why in listed[name]["problem"]
        assert str(home) not in listed[name]["problem"]
    assert (listed["b-record"]["state"], listed["b-record"]["review"]) == ("finished", "broken")
    assert "Restore reviews.jsonl" in listed["b-record"]["problem"]
    assert "schema version" in page.get("/api/runs/b-version", 422)["error"]
    assert str(home) not in page.get("/api/runs/b-json", 422)["error"]
    page.get("/api/runs/b-record")


def test_a_report_is_read_again_once_it_has_changed(page, home):
    assert page.get("/api/runs")["runs"][0]["question"] != "New?"
    path = home / "runs" / "done" / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"question": "New?"}))
    assert page.get("/api/runs")["runs"][0]["question"] == "New?"
    assert page.get("/api/runs/done")["question"] == "New?"
    assert page.get("/api/runs/done/shown")["digest"] == report_digest(path.read_bytes())


def test_the_report_over_the_wire_is_the_report_on_disk(page, home):
    assert page.get("/api/runs/done") == json.loads((home / "runs" / "done" / "report.json").read_text())


def test_a_report_in_short_is_what_the_command_line_prints(page, home):
    report = read_report(home / "runs" / "done" / "report.json")
    printed = summary_of(report, {}).model_dump(mode="json")
    found = page.get("/api/runs/done/summary")
    assert {**found, "report": {}} == printed
    assert page.client.get(found["report"]["json"]).json()["run"] == report.run
    assert [claim["id"] for claim in found["claims"]] == [claim.id for claim in report.claims]


def test_a_measurement_comes_whole_with_its_part_and_whether_the_run_still_says_the_same(page, home):
    report = read_report(home / "runs" / "done" / "report.json")
    for record in report.measurements:
        found = page.get(f"/api/runs/done/measurements/{record.measurement.id}")
        assert found["measurement"] == record.measurement.model_dump(mode="json")
        assert (found["phase"], found["why"], found["kept"], found["altered"]) == (record.phase, record.why, "same", [])
    one = report.measurements[0].measurement
    file = home / "runs" / "done" / "measurements" / f"{one.id}.json"
    file.write_text(file.read_text().replace(one.digest, "0" * 64))
    assert page.get(f"/api/runs/done/measurements/{one.id}")["kept"] == "other"
    file.unlink()
    assert page.get(f"/api/runs/done/measurements/{one.id}")["kept"] == "missing"
    page.get("/api/runs/done/measurements/m-00000000", 404)


def test_a_measurement_changed_in_the_report_is_told_as_changed(page, home):
    path = home / "runs" / "done" / "report.json"
    raw = json.loads(path.read_text())
    raw["measurements"][0]["measurement"]["digest"] = "0" * 64
    path.write_text(json.dumps(raw))
    found = page.get(f"/api/runs/done/measurements/{raw['measurements'][0]['measurement']['id']}")
    assert [one["was"] for one in found["altered"]] == ["0" * 64]


def test_every_figure_of_the_prose_is_filled_in_and_leads_to_measurements_of_the_report(page, home):
    found = page.get("/api/runs/done/shown")
    report = read_report(home / "runs" / "done" / "report.json")
    known = {record.measurement.id for record in report.measurements}
    prose = [*found["answer"], found["premise"], *(claim["sentence"] for claim in found["claims"])]
    prose += [one["found"] for one in found["measurements"]]
    figures = [part for sentence in prose for part in sentence if part["kind"] == "figure"]
    assert len(figures) > 5
    for figure in figures:
        assert "{{" not in figure["text"]
        assert set(figure["figure"]["cites"]) <= known
    shares = [part["text"] for part in found["claims"][0]["sentence"] if part["kind"] == "figure"]
    assert all(float(share.rstrip("%")) <= 100 for share in shares)
    judged = report.claims[0].judgement
    assert found["claims"][0]["numbers"]["effect"] == judged.effect
    assert len(found["claims"][0]["gates"]) == len(judged.gates)


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", "..%2fsecret", "%2fetc", "done%2f..%2f..%2fsecret", "done%00", "a" * 101, "done\\..", "~"],
)
def test_no_name_leads_out_of_the_folder_of_runs(page, home, name):
    secret = home / "secret"
    shutil.copytree(home / "runs" / "done", secret)
    for path in (f"/api/runs/{name}", f"/api/runs/{name}/reviews", f"/api/runs/{name}/export/json"):
        answer = page.client.get(path)
        assert answer.status_code in (404, 422), answer.text
        assert "schema_version" not in answer.text
    assert page.client.get(f"/api/runs/{secret}").status_code in (404, 422)


@pytest.mark.parametrize("name", ["..%2frun", "m-..%2f..%2frun", "m-zz", "run", "m-0%00"])
def test_no_measurement_leads_out_of_its_run(page, name):
    assert page.client.get(f"/api/runs/done/measurements/{name}").status_code in (404, 422)


def test_exports_are_the_files_that_the_run_wrote(page, home):
    folder = RunFolder.open(home, "done")
    for kind in ("html", "md", "json"):
        answer = page.client.get(f"/api/runs/done/export/{kind}")
        assert answer.text == Path(folder.reports[kind]).read_text()
        assert answer.headers["content-disposition"] == f'attachment; filename="done.{kind}"'
    page.get("/api/runs/done/export/pdf", 422)


def test_the_report_to_look_at_runs_its_own_scripts_only_and_not_as_a_page_of_this_server(page):
    answer = page.client.get("/api/runs/done/export/html?view=true")
    policy = answer.headers["content-security-policy"]
    assert "content-disposition" not in answer.headers
    assert "default-src 'none'; script-src 'sha256-" in policy
    assert "unsafe" not in policy
    sandbox = next(part.split() for part in policy.split("; ") if part.startswith("sandbox"))
    assert sandbox == ["sandbox", "allow-scripts", "allow-modals"], "never its origin"


def test_a_page_put_in_place_of_the_report_is_not_served(page, home):
    (home / "runs" / "done" / "report.html").write_text("<script>steal()</script>")
    assert "steal" not in page.client.get("/api/runs/done/export/html").text


def test_markup_in_texts_reaches_no_page_as_markup(page, hostile):
    found = page.get(f"/api/runs/{hostile}/shown")
    assert (found["question"], found["claims"][0]["hypothesis"]) == (HOSTILE, HOSTILE)
    html = page.client.get(f"/api/runs/{hostile}/export/html").text
    assert "<script>document.title" not in html
    assert "&lt;script&gt;document.title" in html
    for path in ("/", f"/runs/{hostile}"):
        answer = page.client.get(path)
        assert "owned" not in answer.text
        assert "script-src" not in answer.headers["content-security-policy"], "no script but from this server"
    for path in ("/api/runs", f"/api/runs/{hostile}/shown", f"/api/runs/{hostile}"):
        assert page.client.get(path).headers["content-type"] == "application/json"
