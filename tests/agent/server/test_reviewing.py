"""Decisions over the wire."""

import json


def test_a_decision_is_kept_and_told_with_where_it_leaves_the_report(page, home):
    nothing = page.get("/api/runs/done/reviews")
    assert (nothing["standing"]["state"], nothing["reviews"], nothing["record"]) == ("untouched", [], "0" * 64)
    answer = page.decide("reject", "c2", comment="The control is too weak.")
    assert answer == page.get("/api/runs/done/reviews")
    (kept,) = answer["reviews"]
    assert (kept["decision"], kept["claim"], kept["reviewer"], kept["comment"]) == (
        "reject",
        "c2",
        "Ada",
        "The control is too weak.",
    )
    assert kept["report"] == answer["report"] == page.get("/api/runs/done/shown")["digest"]
    states = [(one["claim"], one["state"], one["by"]) for one in answer["standing"]["claims"]]
    assert states == [("c1", "undecided", ""), ("c2", "rejected", "Ada")]
    assert answer["record"] == kept["hash"]
    (line,) = (home / "runs" / "done" / "reviews.jsonl").read_text().splitlines()
    assert json.loads(line)["hash"] == kept["hash"]


def test_a_report_is_signed_off_once_every_claim_is_decided(page):
    assert "c1, c2" in page.decide("sign_off", None, 422)["error"]
    page.decide("accept", "c1")
    page.decide("accept", "c2")
    signed = page.decide("sign_off", None)["standing"]
    assert (signed["state"], signed["signed_by"]) == ("signed", "Ada")


def test_a_decision_about_a_report_that_was_written_anew_is_a_conflict(page, home):
    digest = page.get("/api/runs/done/shown")["digest"]
    path = home / "runs" / "done" / "report.json"
    path.write_text(path.read_text() + "\n")
    answer = page.decide("accept", "c1", 409, report=digest)
    assert "Read the report as it is" in answer["mend"]
    page.decide("accept", "c1")


def test_decisions_about_an_earlier_report_are_told_as_such(page, home):
    page.decide("accept", "c1")
    path = home / "runs" / "done" / "report.json"
    path.write_text(path.read_text() + "\n")
    found = page.get("/api/runs/done/reviews")
    assert found["standing"]["state"] == "outdated"
    assert found["standing"]["claims"][0]["about_earlier"] is True
    assert found["reviews"][0]["report"] != found["report"]


def test_a_claim_that_is_not_there_and_a_run_that_is_not_there_are_refused(page):
    assert "no claim c99" in page.decide("accept", "c99", 422)["error"]
    assert "no run 'nowhere'" in page.post("/api/runs/nowhere/reviews", _any(), 404)["error"]


def test_nobody_can_date_a_decision(page, home):
    body = _any() | {"report": page.get("/api/runs/done/shown")["digest"], "at": "2001-01-01T00:00:00+00:00"}
    assert "body.at" in page.post("/api/runs/done/reviews", body, 422)["error"]


def test_a_record_that_was_changed_takes_no_decision_and_hides_no_report(page, home):
    page.decide("accept", "c1")
    path = home / "runs" / "done" / "reviews.jsonl"
    path.write_text(path.read_text().replace("Ada", "Eve"))
    assert "Restore reviews.jsonl" in page.get("/api/runs/done/reviews", 422)["mend"]
    assert "changed after it was written" in page.decide("accept", "c1", 422)["error"]
    page.get("/api/runs/done/shown")


def _any() -> dict[str, str]:
    return {"decision": "accept", "claim": "c1", "reviewer": "Ada", "report": "0" * 64}
