"""Out to JSON lines and in again: nothing lost, nothing half, and nothing of a file that holds one bad line."""

import json
import stat

import pytest
from vesalius.memory import CardClaim, CardScore, Memory, RememberError, export_records, import_records, moving

DEEP = '{"vesalius_memory":1,"record":' + "[" * 5000 + "]" * 5000 + "}"


@pytest.fixture
def memory(tmp_path, spelling):
    with Memory(tmp_path / "memory", spelling) as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path, spelling):
    with Memory(tmp_path / "fresh", spelling) as opened:
        yield opened


@pytest.fixture
def everything(claim, hypothesis, card, tested, twin):
    """A record of each kind with every field that it may have, and text that a line-based form could stumble over."""
    odd = 'line\nbreak \u2028 and \x85 and \r and NUL \x00 and "quotes" and 😀'
    sealed = CardClaim(claim="c1", verdict="untested", tier="observed", predicts="no effect", statement=odd)
    return [
        claim(odd, effect=0.1 + 0.2, interval=(-1e-300, 1e300), tested=tested()),
        claim("no effect", effect=None, interval=None, subject=twin, tested=None),
        hypothesis(odd, tested=tested(site="", position="", features=("1/2",), dictionary="d" * 64)),
        card(
            "Texas",
            contexts=(odd, "b"),
            peaks=(" x", ""),
            claims=(sealed,),
            detection=CardScore(score=0.9, low=0.7, high=1 / 3 + 0.5, n=3),
            scorer="someone",
        ),
    ]


def test_a_round_trip_loses_nothing(memory, fresh, everything, tmp_path):
    memory.remember(everything)
    file = tmp_path / "all.jsonl"
    assert export_records(memory, file) == 4
    assert import_records(fresh, file).model_dump() == {"records": 4, "written": 4, "same": 0, "replaced": 0, "kept": 0}
    assert list(fresh.records()) == list(memory.records())
    assert sorted(fresh.records(), key=str) == sorted(everything, key=str)
    again = tmp_path / "again.jsonl"
    export_records(fresh, again)
    assert again.read_bytes() == file.read_bytes(), "equal memories give equal files"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_each_line_is_one_record_with_the_version(memory, everything, tmp_path):
    memory.remember(everything)
    export_records(memory, tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_bytes().split(b"\n")
    assert lines[-1] == b""
    read = [json.loads(line) for line in lines[:-1]]
    assert [set(line) for line in read] == [{"vesalius_memory", "record"}] * 4
    assert {line["vesalius_memory"] for line in read} == {1}
    assert [line["record"]["kind"] for line in read] == ["feature_cards", "hypotheses", "claims", "claims"]


def test_importing_twice_changes_nothing(memory, fresh, everything, tmp_path):
    memory.remember(everything)
    export_records(memory, tmp_path / "all.jsonl")
    import_records(fresh, tmp_path / "all.jsonl")
    before = list(fresh.records())
    assert import_records(fresh, tmp_path / "all.jsonl").model_dump() == {
        "records": 4,
        "written": 0,
        "same": 4,
        "replaced": 0,
        "kept": 0,
    }
    assert list(fresh.records()) == before


def test_what_stands_here_otherwise_stays_unless_the_file_is_preferred(memory, fresh, claim, tmp_path):
    memory.remember([claim(verdict="refuted"), claim("another")])
    export_records(memory, tmp_path / "all.jsonl")
    fresh.remember([claim(verdict="supported")])
    done = import_records(fresh, tmp_path / "all.jsonl")
    assert (done.written, done.kept, done.replaced) == (1, 1, 0)
    assert {record.text: record.verdict for record in fresh.records()}[claim().text] == "supported"
    done = import_records(fresh, tmp_path / "all.jsonl", replace=True)
    assert (done.same, done.kept, done.replaced) == (1, 0, 1)
    assert {record.text: record.verdict for record in fresh.records()}[claim().text] == "refuted"


def line_of(record, **changes):
    return json.dumps({"vesalius_memory": 1, "record": record.model_dump(mode="json") | changes})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{", r"is no JSON.*Export it again"),
        (b"NaN", r"is no JSON"),
        (b"[]", r"no `vesalius_memory`.*Export it again"),
        (b"{}", r"no `vesalius_memory`"),
        (b'{"vesalius_memory":1}', r"has other fields"),
        (b'{"vesalius_memory":1,"record":{},"more":1}', r"has other fields"),
        (b'{"vesalius_memory":2,"record":{}}', r"of version '2'.*This version reads 1: import it with the version"),
        (b'{"vesalius_memory":true,"record":{}}', r"of version 'True'"),
        (b'{"vesalius_memory":"1","record":{}}', r"of version '1'"),
        (b'{"vesalius_memory":[[[1]]],"record":{}}', r"of version '\[\[\[1\]\]\]'"),
        (b'{"vesalius_memory":1,"record":{"kind":"claims"}}', r"`claims\.subject`: Field required"),
        (b'{"vesalius_memory":1,"record":{"kind":"wishes"}}', r"holds no record.*expected tags"),
        (b'{"vesalius_memory":1,"record":null}', r"holds no record"),
        (DEEP.encode(), r"is no JSON.*recursion"),
        (b'{"vesalius_memory":1,"record":' + b"9" * 5000 + b"}", r"is no JSON: number out of range at column"),
        (b"\xff\xfe{\x00", r"is no UTF-8 \(byte 1\).*Save the file as UTF-8"),
        ('{"vesalius_memory":1}'.encode("utf-16"), r"is no UTF-8"),
        ("\ufeff{}".encode(), r"without a byte order mark"),
        (b'{"a":"\\ud800"}', r"is no JSON"),
        (b"\x00", r"is no JSON"),
    ],
    ids=range(20),
)
def test_a_bad_line_is_named_with_the_mend_and_nothing_is_imported(fresh, claim, tmp_path, bad, message):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(line_of(claim()).encode() + b"\n" + bad + b"\n" + line_of(claim("third")).encode() + b"\n")
    with pytest.raises(RememberError, match=rf"Line 2 of .*bad\.jsonl(?s:.)*{message}") as caught:
        import_records(fresh, file)
    assert "Nothing was imported" in caught.value.message
    assert len(str(caught.value)) < 1000
    assert list(fresh.records()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"effect": "NaN"}, "effect"),
        ({"interval": [0.5, 0.1]}, "lower bound above"),
        ({"run": "a\nb"}, "control character"),
        ({"verdict": "proven"}, "verdict"),
        ({"colour": "blue"}, "colour"),
        ({"text": "x" * 1_000_001}, "at most 1000000"),
        ({"subject": {"model": "m", "fingerprint": ""}}, "fingerprint is empty"),
    ],
)
def test_a_record_that_could_not_be_written_here_is_refused_in_a_file_too(fresh, claim, tmp_path, changes, message):
    file = tmp_path / "bad.jsonl"
    file.write_text(line_of(claim()) + "\n" + line_of(claim("second"), **changes) + "\n")
    with pytest.raises(RememberError, match=rf"Line 2 (?s:.)*{message}"):
        import_records(fresh, file)
    assert list(fresh.records()) == []


def test_numbers_that_are_none_are_refused(fresh, claim, tmp_path):
    for text in ("NaN", "Infinity", "1e999"):
        file = tmp_path / "bad.jsonl"
        file.write_text(line_of(claim(effect=0.125)).replace("0.125", text) + "\n")
        with pytest.raises(RememberError, match=r"Line 1 (?s:.)*(is no JSON|finite)"):
            import_records(fresh, file)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(fresh, claim, tmp_path, monkeypatch):
    monkeypatch.setattr(moving, "MAX_LINE_BYTES", 2000)
    file = tmp_path / "bad.jsonl"
    file.write_text(line_of(claim()) + "\n" + line_of(claim("x" * 3000)) + "\n")
    with pytest.raises(RememberError, match=r"Line 2 .* longer than 2,000 bytes"):
        import_records(fresh, file)
    assert list(fresh.records()) == []


def test_one_record_with_two_contents_is_refused_and_one_given_twice_counts_once(fresh, claim, tmp_path):
    file = tmp_path / "twice.jsonl"
    file.write_text(line_of(claim()) + "\n\n" + line_of(claim(), verdict="refuted") + "\n")
    with pytest.raises(RememberError, match=r"Line 3 .*is the record of line 1 with other content.*Keep one"):
        import_records(fresh, file)
    file.write_text(line_of(claim()) + "\r\n" + line_of(claim()))
    assert import_records(fresh, file).records == 1


def test_many_records_are_read_in_batches(memory, fresh, claim, tmp_path, monkeypatch):
    monkeypatch.setattr(moving, "BATCH_ROWS", 7)
    memory.remember([claim(f"claim {i}") for i in range(40)])
    export_records(memory, tmp_path / "all.jsonl")
    fresh.remember([claim("claim 3"), claim("claim 30", tier="observed")])
    done = import_records(fresh, tmp_path / "all.jsonl")
    assert (done.records, done.written, done.same, done.kept) == (40, 38, 1, 1)
    assert fresh.status().counts["claims"] == 40


def test_an_empty_memory_makes_an_empty_file_that_reads_as_nothing(memory, fresh, tmp_path):
    assert export_records(memory, tmp_path / "none.jsonl") == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert import_records(fresh, tmp_path / "none.jsonl").records == 0


def test_an_export_that_fails_leaves_the_file_of_before(memory, claim, tmp_path):
    memory.remember([claim()])
    file = tmp_path / "all.jsonl"
    file.write_text("before")
    collection = memory._collections["claims"]
    (row,) = collection.get(include=[])["ids"]
    (vector,) = collection.get(ids=[row], include=["embeddings"])["embeddings"]
    collection.update(ids=[row], embeddings=[vector], documents=["{}"])
    with pytest.raises(RememberError, match="no record of this version"):
        export_records(memory, file)
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_files_that_cannot_be_written_or_read_are_errors_with_the_mend(memory, tmp_path):
    with pytest.raises(RememberError, match="folder that you may write to"):
        export_records(memory, tmp_path / "memory" / "chroma.sqlite3" / "file")
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(RememberError, match=r"cannot be read.*memory export"):
            import_records(memory, path)
