"""The record of who decided what: nothing in it is rewritten, and whatever kills or edits it is noticed."""

import multiprocessing
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError
from vesalius.agent import reviews as record
from vesalius.agent._chain import GENESIS
from vesalius.agent.ledger import Ledger
from vesalius.agent.reviews import (
    Decision,
    ReviewError,
    StaleReview,
    keep_review,
    read_reviews,
    record_digest,
    report_digest,
    standing,
)

REPORT, EARLIER = report_digest(b"report"), report_digest(b"an earlier report")
CLAIMS = ["c1", "c2"]


def deciding(act: str, claim: str | None = "c1", by: str = "Ada", comment: str = "", report: str = REPORT) -> Decision:
    return Decision.model_validate(
        {"decision": act, "claim": claim, "reviewer": by, "comment": comment, "report": report}
    )


def keep(folder: Path, *decisions: Decision, report: str = REPORT) -> None:
    for decision in decisions:
        keep_review(folder, decision, report, CLAIMS)


def stands(folder: Path, report: str = REPORT) -> dict[str, str]:
    return {one.claim: one.state for one in standing(read_reviews(folder), CLAIMS, report).claims}


def test_a_run_that_nobody_reviewed_has_an_empty_record_and_reading_it_writes_none(tmp_path):
    assert read_reviews(tmp_path) == ()
    assert record_digest(()) == GENESIS
    assert list(tmp_path.iterdir()) == []
    assert standing((), CLAIMS, REPORT).state == "untouched"


def test_a_decision_is_kept_with_its_time_in_utc_and_follows_the_one_before(tmp_path):
    noon = datetime(2026, 3, 1, 12, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    first = keep_review(tmp_path, deciding("accept", comment="as sealed"), REPORT, CLAIMS, noon)
    second = keep_review(tmp_path, deciding("reject", "c2", by="Grace"), REPORT, CLAIMS, noon)
    assert (first.at, first.reviewer, first.comment, first.report) == (
        "2026-03-01T10:00:05+00:00",
        "Ada",
        "as sealed",
        REPORT,
    )
    assert read_reviews(tmp_path) == (first, second)
    assert record_digest(read_reviews(tmp_path)) == second.hash != first.hash


def test_the_clock_is_read_where_no_time_is_given(tmp_path):
    before = datetime.now(UTC).replace(microsecond=0)
    kept = keep_review(tmp_path, deciding("accept"), REPORT, CLAIMS)
    assert before <= datetime.fromisoformat(kept.at) <= datetime.now(UTC)


def test_the_last_decision_of_a_claim_counts_and_the_earlier_ones_stay(tmp_path):
    keep(tmp_path, deciding("accept"), deciding("comment", comment="hm"), deciding("reject", by="Grace"))
    assert stands(tmp_path) == {"c1": "rejected", "c2": "undecided"}
    assert [review.decision for review in read_reviews(tmp_path)] == ["accept", "comment", "reject"]
    keep(tmp_path, deciding("comment", comment="still"))
    assert stands(tmp_path)["c1"] == "rejected", "a comment decides nothing"


def test_the_same_decision_twice_is_kept_twice(tmp_path):
    keep(tmp_path, deciding("accept"), deciding("accept"))
    assert len(read_reviews(tmp_path)) == 2


def test_a_report_goes_from_untouched_over_begun_and_decided_to_signed_and_back_when_a_decision_follows(tmp_path):
    states = []
    for act, claim in [("comment", "c1"), ("accept", "c1"), ("reject", "c2"), ("sign_off", None), ("accept", "c2")]:
        keep(tmp_path, deciding(act, claim, comment="so"))
        states.append(standing(read_reviews(tmp_path), CLAIMS, REPORT).state)
    assert states == ["begun", "begun", "decided", "signed", "decided"]
    keep(tmp_path, deciding("sign_off", None, by="Grace"), deciding("comment", comment="well done"))
    found = standing(read_reviews(tmp_path), CLAIMS, REPORT)
    assert (found.state, found.signed_by) == ("signed", "Grace")


def test_a_sign_off_waits_for_every_claim(tmp_path):
    keep(tmp_path, deciding("accept", "c2"))
    with pytest.raises(ReviewError, match=r"version of the report: c1\. Accept or reject every claim"):
        keep(tmp_path, deciding("sign_off", None))
    assert len(read_reviews(tmp_path)) == 1
    keep_review(
        tmp_path, deciding("sign_off", None), REPORT, []
    )  # a report that claims nothing has nothing to wait for


def test_decisions_about_an_earlier_report_are_told_as_such_and_count_for_no_sign_off(tmp_path):
    earlier = [deciding("accept", claim, report=EARLIER) for claim in CLAIMS]
    keep(tmp_path, *earlier, deciding("sign_off", None, report=EARLIER), report=EARLIER)
    found = standing(read_reviews(tmp_path), CLAIMS, REPORT)
    assert (found.state, found.signed_by) == ("outdated", "")
    assert [(one.state, one.about_earlier) for one in found.claims] == [("accepted", True)] * 2
    with pytest.raises(ReviewError, match="c1, c2"):
        keep(tmp_path, deciding("sign_off", None))
    keep(tmp_path, deciding("accept"))
    found = standing(read_reviews(tmp_path), CLAIMS, REPORT)
    assert (found.state, [one.about_earlier for one in found.claims]) == ("begun", [False, True])


def test_a_decision_about_a_report_that_was_replaced_meanwhile_is_refused(tmp_path):
    with pytest.raises(StaleReview, match="Read the report as it is, then decide again"):
        keep(tmp_path, deciding("accept", report=EARLIER))
    assert read_reviews(tmp_path) == ()


def test_a_claim_that_the_report_does_not_have_is_refused(tmp_path):
    with pytest.raises(ReviewError, match=r"no claim c9\. Claims: c1, c2"):
        keep(tmp_path, deciding("accept", "c9"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"reviewer": "  "}, "at least 1 character"),
        ({"reviewer": "A" * 81}, "at most 80"),
        ({"reviewer": "Ada\nGrace"}, "visible characters"),
        ({"reviewer": "Ada\u202e"}, "visible characters"),
        ({"comment": "x" * 4001}, "at most 4000"),
        ({"claim": None}, "name a claim"),
        ({"claim": "../c1"}, "pattern"),
        ({"decision": "sign_off"}, "sign-off names none"),
        ({"decision": "comment", "comment": " "}, "says something"),
        ({"decision": "delete"}, "Input should be"),
        ({"report": "f" * 63}, "pattern"),
        ({"at": "2020-01-01"}, "Extra inputs"),
    ],
    ids=str,
)
def test_what_is_no_decision_is_refused(changes, why):
    sound = {"decision": "accept", "claim": "c1", "reviewer": "Ada", "comment": "", "report": REPORT}
    assert Decision.model_validate(sound).reviewer == "Ada"
    with pytest.raises(ValidationError, match=why):
        Decision.model_validate(sound | changes)


def test_a_line_torn_at_any_byte_is_left_out_by_readers_and_cut_off_by_the_next_decision(tmp_path):
    keep(tmp_path, deciding("accept"), deciding("reject", "c2", comment="é \u2028"))
    path = tmp_path / record.FILE
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(start, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        assert [review.decision for review in read_reviews(tmp_path)] == ["accept"]
        assert path.read_bytes() == whole[:end], "reading alone must not mend"
        keep(tmp_path, deciding("comment", comment="after"))
        assert [review.decision for review in read_reviews(tmp_path)] == ["accept", "comment"]
        assert path.read_bytes().startswith(whole[:start])


def test_a_changed_dropped_or_reordered_line_is_refused_and_nothing_is_added_to_it(tmp_path):
    keep(tmp_path, deciding("accept"), deciding("reject", "c2"), deciding("accept", "c2"))
    path = tmp_path / record.FILE
    first, second, third = path.read_bytes().splitlines(keepends=True)
    for broken in (
        first.replace(b'"accept"', b'"reject"') + second + third,
        first.replace(b"Ada", b"Eve") + second + third,
        first + third,
        second + first + third,
        first + b"{}\n" + second,
    ):
        path.write_bytes(broken)
        with pytest.raises(ReviewError, match=r"Line [12] of reviews\.jsonl .*Restore reviews\.jsonl from a copy"):
            read_reviews(tmp_path)
        with pytest.raises(ReviewError, match="Restore"):
            keep(tmp_path, deciding("accept"))
        assert path.read_bytes() == broken


@pytest.mark.parametrize(
    ("key", "kind", "body"),
    [
        ("review-0", "note", {"decision": "accept"}),
        ("review-7", "note", None),
        ("review-0", "question", None),
    ],
    ids=["a body that is no decision", "another key", "another kind"],
)
def test_a_sound_chain_of_something_else_is_no_record_of_decisions(tmp_path, key, kind, body):
    sound = deciding("accept").model_dump(mode="json") | {"at": "2026-01-01T00:00:00+00:00"}
    with Ledger(tmp_path / record.FILE) as ledger:
        ledger.append(key, kind, sound if body is None else body)
    with pytest.raises(ReviewError, match=r"Line 1 of reviews\.jsonl is no decision"):
        read_reviews(tmp_path)


def test_a_record_that_lies_elsewhere_is_neither_read_nor_written(tmp_path):
    run, secret = tmp_path / "run", tmp_path / "secret"
    run.mkdir()
    secret.write_text("no newline: a torn line, for a ledger")
    (run / record.FILE).symlink_to(secret)
    for use in (lambda: read_reviews(run), lambda: keep(run, deciding("accept"))):
        with pytest.raises(ReviewError, match="no plain file"):
            use()
    assert secret.read_text() == "no newline: a torn line, for a ledger"


def _keep_many(folder: Path, name: str, count: int) -> None:
    keep(folder, *(deciding("comment", by=name, comment=str(n)) for n in range(count)))


def test_several_processes_write_one_after_the_other_and_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    names = [f"reviewer {n}" for n in range(4)]
    writers = [context.Process(target=_keep_many, args=(tmp_path, name, 10)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    kept = read_reviews(tmp_path)
    for name in names:
        assert [review.comment for review in kept if review.reviewer == name] == [str(n) for n in range(10)]


def test_a_writer_that_does_not_end_is_told_of_and_a_killed_one_lets_go(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "PATIENCE", 0.1)
    hold = "import fcntl, os, sys, time; f = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(f, fcntl.LOCK_EX)"
    script = f"{hold}; print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ReviewError, match="Another process has been writing"):
            keep(tmp_path, deciding("accept"))
        os.kill(holder.pid, signal.SIGKILL)
    keep(tmp_path, deciding("accept"))
    assert len(read_reviews(tmp_path)) == 1


def test_a_writer_killed_at_any_moment_leaves_a_record_that_goes_on(tmp_path):
    script = (
        "import sys; from pathlib import Path; from vesalius.agent.reviews import *\n"
        "d = Decision(decision='comment', claim='c1', reviewer='Ada', comment='x' * 3000, report='a' * 64)\n"
        "print('ready', flush=True)\n"
        "while True: keep_review(Path(sys.argv[1]), d, 'a' * 64, ['c1'])"
    )
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            known = len(read_reviews(tmp_path))
            while len(read_reviews(tmp_path)) < known + 3:
                pass
            os.kill(writer.pid, signal.SIGKILL)
        known = len(read_reviews(tmp_path))
        keep(tmp_path, deciding("comment", comment="after", report="a" * 64), report="a" * 64)
        assert len(read_reviews(tmp_path)) == known + 1
