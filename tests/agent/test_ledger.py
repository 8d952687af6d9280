"""The ledger keeps what was written, in order, whatever kills or edits it."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from vesalius.agent.ledger import GENESIS, Ledger, LedgerError, read_ledger
from vesalius.tools import canonical, digest


def filled(path: Path) -> None:
    """Six entries: a question, two seals, two runs, a confirmation."""
    with Ledger(path) as ledger:
        ledger.append("q", "question", {"question": "where is the state?", "seed": 0})
        ledger.append("sealed:p1", "sealed", {"prediction": {"id": "p1", "arms": []}, "measurements": ["m-1", "m-2"]})
        ledger.append("sealed:p2", "sealed", {"prediction": "p2"})
        ledger.append("run:1", "measurement", {"measurement": "m-1", "digest": "aa"})
        ledger.append("confirmed:p1", "confirmed", {"prediction": "p1", "measurement": "m-1"})
        ledger.append("run:lost", "measurement", {"failed": "no such site \u2028 \x85 é"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    filled(tmp_path / "ledger.jsonl")
    return tmp_path / "ledger.jsonl"


def test_an_empty_ledger_has_the_digest_of_nothing(tmp_path):
    with Ledger(tmp_path / "new" / "ledger.jsonl") as ledger:
        assert ledger.digest == GENESIS
        assert ledger.entries() == ()


def test_each_hash_covers_the_hash_before_the_key_the_kind_and_the_body(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        first = ledger.append("a", "note", {"x": 1})
        second = ledger.append("b", "note", {"x": 2})
    assert first.hash == digest({"prev": GENESIS, "key": "a", "kind": "note", "body": {"x": 1}})
    assert second.hash == digest({"prev": first.hash, "key": "b", "kind": "note", "body": {"x": 2}})
    assert [e.seq for e in (first, second)] == [0, 1]


def test_what_was_written_reads_back_after_opening_again(path):
    with Ledger(path) as ledger:
        entries = ledger.entries()
        assert [e.key for e in entries] == ["q", "sealed:p1", "sealed:p2", "run:1", "confirmed:p1", "run:lost"]
        assert [e.key for e in ledger.entries("measurement")] == ["run:1", "run:lost"]
        assert ledger.digest == entries[-1].hash
        assert ledger.find("run:1") == entries[3]
        assert ledger.find("run:9") is None
    assert read_ledger(path) == entries


def test_the_same_entry_again_writes_nothing_and_returns_the_first(path):
    before = path.read_bytes()
    with Ledger(path) as ledger:
        again = ledger.append("q", "question", {"seed": 0, "question": "where is the state?"})
        assert again is ledger.entries()[0]
    assert path.read_bytes() == before


def test_tuples_count_as_the_lists_they_are_written_as(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        first = ledger.append("a", "note", {"x": (1, 2)})
        assert first.body == {"x": [1, 2]}
        assert ledger.append("a", "note", {"x": [1, 2]}) is first


def test_another_body_under_a_known_key_is_refused_with_what_differs(path):
    before = path.read_bytes()
    with Ledger(path) as ledger:
        with pytest.raises(LedgerError, match=r"body\.seed: 0 in the ledger, 1 now.*another key"):
            ledger.append("q", "question", {"question": "where is the state?", "seed": 1})
        with pytest.raises(LedgerError, match=r"body\.extra: nothing in the ledger, 2 now"):
            ledger.append("q", "question", {"question": "where is the state?", "seed": 0, "extra": 2})
        with pytest.raises(LedgerError, match="kind: `question` in the ledger, `note` now"):
            ledger.append("q", "note", {"question": "where is the state?", "seed": 0})
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes", "\ud800"], ids=repr)
def test_a_body_that_is_not_plain_json_is_refused_before_anything_is_written(path, value):
    before = path.read_bytes()
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="not plain JSON"):
        ledger.append("n", "note", {"x": value})
    assert path.read_bytes() == before


def test_wall_times_are_kept_out(path):
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="Leave `seconds` out"):
        ledger.append("run:2", "measurement", {"measurement": "m-2", "seconds": 0.1})


def test_a_line_torn_at_any_byte_is_cut_off_and_the_ledger_goes_on_the_same(path, tmp_path):
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(start, len(whole)):
        torn = tmp_path / "torn.jsonl"
        torn.write_bytes(whole[:end])
        assert [e.key for e in read_ledger(torn)][-1] == "confirmed:p1"
        assert torn.read_bytes() == whole[:end], "reading alone must not mend"
        with Ledger(torn) as ledger:
            assert torn.read_bytes() == whole[:start]
            ledger.append("run:lost", "measurement", {"failed": "no such site \u2028 \x85 é"})
        assert torn.read_bytes() == whole


def test_a_torn_first_line_leaves_an_empty_ledger(tmp_path):
    (tmp_path / "l").write_bytes(b'{"body":{"x"')
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.entries() == ()
    assert (tmp_path / "l").read_bytes() == b""


def test_a_changed_byte_anywhere_is_noticed_with_its_line(path):
    whole = path.read_bytes()
    ends = [i for i, byte in enumerate(whole) if byte == 10]
    for at in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(bytes(changed))
        if at > ends[-2] and at == len(whole) - 1:
            continue
        line = sum(end < at for end in ends) + 1
        with pytest.raises(LedgerError, match=rf"Line {line} of ledger.jsonl .*Restore ledger.jsonl"):
            Ledger(path)


@pytest.mark.parametrize("tamper", ["drop", "swap", "repeat", "spaces", "rehash", "seq", "list"])
def test_entries_dropped_swapped_repeated_or_rewritten_are_noticed(path, tamper):
    lines = path.read_bytes().split(b"\n")[:-1]
    entry = json.loads(lines[2])
    if tamper == "drop":
        del lines[2]
    elif tamper == "swap":
        lines[2], lines[3] = lines[3], lines[2]
    elif tamper == "repeat":
        lines.insert(3, lines[2])
    elif tamper == "spaces":
        lines[2] = json.dumps(entry).encode()
    elif tamper == "rehash":
        entry["body"] = {"prediction": "p3"}
        entry["hash"] = digest({k: entry[k] for k in ("prev", "key", "kind", "body")})
        lines[2] = canonical(entry).encode()
    elif tamper == "seq":
        lines[2] = canonical({**entry, "seq": 7}).encode()
    else:
        lines[2] = b"[]"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(LedgerError, match=r"Line [34] of .*Restore"):
        Ledger(path)
    with pytest.raises(LedgerError, match=r"Line [34] of .*Restore"):
        read_ledger(path)


def test_a_forged_ledger_with_good_hashes_still_cannot_confirm_the_unsealed(tmp_path):
    body = {"prediction": "p1", "measurement": "m-1"}
    forged = {"seq": 0, "key": "c", "kind": "confirmed", "body": body, "prev": GENESIS}
    forged["hash"] = digest({k: forged[k] for k in ("prev", "key", "kind", "body")})
    (tmp_path / "l").write_text(canonical(forged) + "\n")
    with pytest.raises(LedgerError, match=r"Line 1 .*never sealed"):
        Ledger(tmp_path / "l")


def test_a_refused_ledger_is_not_left_locked(path):
    good = path.read_bytes()
    path.write_bytes(b"x" + good)
    with pytest.raises(LedgerError):
        Ledger(path)
    path.write_bytes(good)
    Ledger(path).close()


def test_a_confirmation_needs_a_seal(path):
    with Ledger(path) as ledger, pytest.raises(LedgerError, match=r"p9 was never sealed.*Seal it"):
        ledger.append("confirmed:p9", "confirmed", {"prediction": "p9", "measurement": "m-1"})


def test_a_prediction_cannot_be_sealed_once_its_measurement_ran(path):
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="p3 is not sealed before it is measured: m-1"):
        ledger.append("sealed:p3", "sealed", {"prediction": {"id": "p3"}, "measurements": ["m-1", "m-7"]})


def test_a_measurement_from_before_the_seal_cannot_confirm_though_the_seal_did_not_list_it(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        ledger.append("run:1", "measurement", {"measurement": "m-1"})
        ledger.append("sealed:p1", "sealed", {"prediction": {"id": "p1"}})
        with pytest.raises(LedgerError, match="not sealed before it is measured: m-1"):
            ledger.append("confirmed:p1", "confirmed", {"prediction": "p1", "measurement": "m-1"})
        ledger.append("confirmed:p1", "confirmed", {"prediction": "p1", "measurement": "m-2"})
        with pytest.raises(LedgerError, match="p2 is not sealed before"):
            ledger.append("sealed:p2", "sealed", {"prediction": "p2", "measurements": ["m-2"]})


def test_only_listed_measurements_confirm_where_the_seal_lists_them(path):
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="m-5 confirms prediction p1, which did not seal it"):
        ledger.append("confirmed:p1b", "confirmed", {"prediction": "p1", "measurement": "m-5"})


def test_a_prediction_is_sealed_once(path):
    with Ledger(path) as ledger, pytest.raises(LedgerError, match=r"p1 is sealed already.*own id"):
        ledger.append("sealed:again", "sealed", {"prediction": "p1"})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("sealed", {}),
        ("sealed", {"prediction": {"no": "id"}}),
        ("sealed", {"prediction": "p4", "measurements": "m-1"}),
        ("confirmed", {"prediction": "p1"}),
        ("confirmed", {"measurement": "m-1"}),
    ],
)
def test_seals_and_confirmations_without_what_they_speak_of_are_refused(path, kind, body):
    with Ledger(path) as ledger, pytest.raises(LedgerError, match=r"names no|no list of ids"):
        ledger.append("x", kind, body)


def test_sealed_before_holds_for_a_prediction_and_its_own_later_confirmation_alone(path):
    with Ledger(path) as ledger:
        assert ledger.sealed_before("sealed:p1", "confirmed:p1")
        assert not ledger.sealed_before("sealed:p2", "confirmed:p1")
        assert not ledger.sealed_before("q", "confirmed:p1")
        assert not ledger.sealed_before("sealed:p1", "nothing")
        assert not ledger.sealed_before("confirmed:p1", "sealed:p1")


def test_a_second_process_cannot_open_a_ledger_that_is_held(path):
    code = (
        "import sys, pathlib\nfrom vesalius.agent.ledger import Ledger, LedgerError\n"
        "try:\n    Ledger(pathlib.Path(sys.argv[1])).append('x', 'note', {})\n"
        "except LedgerError as e:\n    sys.exit(7 if 'open in another process' in str(e) else 8)\n"
    )
    run = [sys.executable, "-c", code, str(path)]
    with Ledger(path) as ledger:
        assert subprocess.run(run, check=False).returncode == 7
        with pytest.raises(LedgerError, match="follow it with `read_ledger`"):
            Ledger(path)
        assert len(read_ledger(path)) == 6
        ledger.append("y", "note", {})
    assert subprocess.run(run, check=False).returncode == 0
    assert [e.key for e in read_ledger(path)][-2:] == ["y", "x"]


def _append_in_child(ledger: Ledger, answers) -> None:
    try:
        ledger.append("child", "note", {})
        answers.put("appended")
    except LedgerError as error:
        answers.put(error.mend)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_cannot_append_through_the_ledger_it_inherited(path):
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with Ledger(path) as ledger:
        child = context.Process(target=_append_in_child, args=(ledger, answers))
        child.start()
        child.join()
        assert "process that opened it" in answers.get()


def test_a_closed_ledger_takes_nothing(path):
    ledger = Ledger(path)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.append("x", "note", {})


def test_a_write_that_fails_half_way_leaves_no_half_line(path, monkeypatch):
    before = path.read_bytes()
    real = os.write
    with Ledger(path) as ledger:

        def full_disk(file, data):
            real(file, bytes(data)[:10])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full_disk)
            with pytest.raises(OSError, match="No space"):
                ledger.append("x", "note", {"x": 1})
        assert path.read_bytes() == before
        ledger.append("x", "note", {"x": 1})
    assert [e.key for e in read_ledger(path)][-1] == "x"


def test_a_killed_writer_leaves_a_ledger_that_a_rerun_completes_to_the_same_bytes(tmp_path):
    code = (
        "import os, sys, pathlib\nfrom vesalius.agent.ledger import Ledger\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1]))\n"
        "for i in range(8):\n"
        "    if i == int(sys.argv[2]): os.kill(os.getpid(), 9)\n"
        "    ledger.append(f'n{i}', 'note', {'i': i})\n"
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run([*run, str(tmp_path / "straight"), "99"], check=False).returncode == 0
    for stop in ("3", "5", "99"):
        subprocess.run([*run, str(tmp_path / "killed"), stop], check=False)
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "straight").read_bytes()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
).filter(lambda v: "\ud800" not in repr(v))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), min_size=1, max_size=4))
def test_any_plain_body_reads_back_as_written(tmp_path_factory, bodies):
    path = tmp_path_factory.mktemp("ledger") / "l"
    bodies = [{k: v for k, v in body.items() if k != "seconds"} for body in bodies]
    with Ledger(path) as ledger:
        for i, body in enumerate(bodies):
            ledger.append(f"{i}", "note", body)
        digest_then = ledger.digest
    with Ledger(path) as ledger:
        assert [e.body for e in ledger.entries()] == bodies
        assert ledger.digest == digest_then
