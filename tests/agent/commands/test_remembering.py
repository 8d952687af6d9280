"""`vesalius memory …`: each finding is shown once, exactly what was asked for, and what stands against it."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner
from vesalius.agent.commands.remembering import findings
from vesalius.agent.memory_cli import memory_app
from vesalius.memory import ClaimRecord, FeatureCard, HashingEmbedder, Hit, HypothesisRecord, Memory, Trial
from vesalius.tools import SubjectKey, dictionary_of

KEY = {"subject": SubjectKey(model="m", fingerprint="f"), "tier": "observed"}


def claim(text: str, run: str = "r") -> Hit:
    record = ClaimRecord(**KEY, run=run, text=text, verdict="supported", where="head.0.1")
    return Hit(id=record.id, similarity=0.5, record=record)


def hypothesis(text: str, run: str = "r") -> Hit:
    record = HypothesisRecord(**KEY, run=run, statement=text, verdict="supported")
    return Hit(id=record.id, similarity=0.6, record=record)


def test_of_a_claim_and_its_hypothesis_the_claim_is_shown():
    claimed = claim("It holds.")
    assert findings((hypothesis("It holds."), claimed)) == [claimed]


def test_what_was_never_claimed_or_was_claimed_by_another_run_stays():
    hits = (hypothesis("It holds.", run="other"), claim("It holds."), hypothesis("It may hold."))
    assert findings(hits) == list(hits)


TESTED = {"behaviour": "task state", "kind": "mediation", "predicts": "effect", "intervention": "patch (value source)"}
AT = {"site": "resid_post.1", "position": "entity"}
MODEL = SubjectKey(model="atlas", fingerprint="a" * 64)


def about(run: str, verdict: str = "supported", **changes: Any) -> ClaimRecord:
    said = {
        "subject": MODEL,
        "tier": "controlled",
        "effect": 0.4,
        "interval": (0.3, 0.5),
        "text": "It holds the state.",
    }
    return ClaimRecord(
        run=run, verdict=verdict, **(said | {"tested": Trial(**TESTED, **AT, families=("swapped",))} | changes)
    )


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Runs `vesalius memory …` on a memory with these records."""
    monkeypatch.setattr("vesalius.memory.store.default_embedder", HashingEmbedder)

    def run(*words: str, records=(), status: int = 0) -> str:
        with Memory(tmp_path / "memory", HashingEmbedder()) as memory:
            memory.remember(records)
        done = CliRunner().invoke(memory_app, [*words, "--home", str(tmp_path)])
        assert done.exit_code == status, done.output
        return done.stdout if status == 0 else done.stderr

    return run


def test_search_narrows_down_exactly(asked):
    records = [about("r1"), about("r2", tested=None), about("r3", "refuted")]
    words = ("search", "state", "--kind", "claims", "--site", "blocks.1.hook_resid_post", "--tier", "causal", "--json")
    found = json.loads(asked(*words, "--model", "atlas", records=records))
    assert {hit["run"] for hit in found["hits"]} == {"r1", "r3"}
    assert [hit["run"] for hit in json.loads(asked(*words, "--verdict", "refuted"))["hits"]] == ["r3"]
    assert [hit["run"] for hit in json.loads(asked(*words, "--run", "r1"))["hits"]] == ["r1"]
    assert json.loads(asked(*words, "--model", "atla"))["hits"] == []
    assert asked("search", "state", "--site", "head.3.5") == "Nothing that is remembered fits.\n"


@pytest.mark.parametrize(
    ("option", "value", "mend"),
    [
        ("--tier", "proven", "'observed', 'causal', 'controlled' or 'replicated'"),
        ("--verdict", "true", "'supported', 'refuted' or 'inconclusive'"),
        ("--site", "nowhere.1", "Sites: embed"),
        ("--kind", "wishes", "Collections: feature_cards"),
        ("--model", "", "at least 1 character"),
    ],
)
def test_a_condition_that_is_none_is_refused_with_what_is_allowed(asked, option, value, mend):
    assert mend in asked("search", "state", option, value, status=2)


def test_an_empty_memory_says_how_to_fill_it(asked):
    assert "`vesalius ask` fills the memory" in asked("search", "state")
    assert "No contradictions among 0" in asked("contradictions")


def test_both_sides_of_a_contradiction_are_shown_with_runs_and_figures(asked):
    records = [
        about("r1"),
        about("r2"),
        about("r3", "refuted", effect=0.01, interval=(-0.01, 0.02)),
        about("r4", tested=None),
    ]
    shown = asked("contradictions", records=records)
    assert shown.splitlines() == [
        "opposite verdicts  resid_post.1 at entity",
        "   model atlas aaaaaaaaaaaa; task state; patch (value source)",
        "   effect: supported, controlled; effect 0.40, interval 0.30 to 0.50",
        "      It holds the state.",
        "      run r1",
        "      run r2",
        "   no effect: refuted, controlled; effect 0.01, interval -0.01 to 0.02",
        "      It holds the state.",
        "      run r3",
        "",
        "1 contradiction among 3 decided claims that can be compared; 0 inconclusive, 1 of an earlier version, which "
        "did not keep what tested them",
    ]
    told = json.loads(asked("contradictions", "--json"))
    assert [claim["run"] for claim in told["contradictions"][0]["one"]] == ["r1", "r2"]
    assert "No contradictions among 0" in asked("contradictions", "--model", "gpt2")


def test_findings_in_weights_that_had_the_name_are_marked_once_the_model_is_checked(asked, atlas):
    records = [about("old"), about("new", subject=atlas.key)]
    doubtful = asked("search", "state", "--kind", "claims", records=records)
    assert "2 sets of weights have the name atlas; --check atlas tells" in doubtful
    assert "stale" not in doubtful
    checked = asked("search", "state", "--kind", "claims", "--check", "atlas")
    assert checked.count("stale: other weights: found in aaaaaaaaaaaa, the model has") == 1
    told = json.loads(asked("search", "state", "--kind", "claims", "--check", "atlas", "--json"))
    assert {hit["run"]: bool(hit["stale"]) for hit in told["hits"]} == {"old": True, "new": False}


def test_features_of_a_dictionary_that_the_model_has_are_not_stale(asked, atlas):
    cards = [
        FeatureCard(subject=atlas.key, run=digest[:4], tier="observed", dictionary=digest, feature="1/2", name="Texas")
        for digest in (dictionary_of(atlas).digest, dictionary_of(atlas, "neurons").digest, "e" * 64)
    ]
    told = json.loads(asked("search", "Texas", "--check", "atlas", "--json", records=cards))
    assert {hit["run"]: bool(hit["stale"]) for hit in told["hits"]} == {
        cards[0].run: False,
        cards[1].run: False,
        "eeee": True,
    }


def test_what_is_exported_comes_in_elsewhere(asked, tmp_path):
    file = str(tmp_path / "all.jsonl")
    assert asked("export", file, records=[about("r1"), about("r2")]) == f"Written to {file}: 2 records\n"
    assert "--overwrite" in asked("export", file, status=2)
    assert json.loads(asked("export", file, "--overwrite", "--json")) == {"path": file, "records": 2}
    assert asked("forget", "r1") == "Removed 1 records of run r1; its folder and report stay\n"
    assert asked("import", file) == "Read 2 records: 1 new, 1 that stood here already\n"
    told = json.loads(asked("import", file, "--json"))
    assert (told["written"], told["same"]) == (0, 2)
    assert "left as they are" in asked("import", file, records=[about("r1", "refuted")])
    assert "were replaced" in asked("import", file, "--replace")


def test_errors_of_files_and_runs_say_the_mend(asked, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    assert "Line 1 of" in asked("import", str(bad), status=2)
    assert "memory export" in asked("import", str(tmp_path / "absent"), status=2)
    assert "prints the run names" in asked("forget", "r9", status=2)


def test_status_says_what_is_held_of_which_weights(asked):
    records = [about("r1"), about("r2"), about("r1", subject=SubjectKey(model="x", fingerprint="b" * 64))]
    shown = asked("status", records=records)
    assert "0 feature cards, 0 hypotheses, 3 claims" in shown
    assert "spelling" in shown
    assert ["atlas", "aaaaaaaaaaaa", "2", "2"] in [line.split() for line in shown.splitlines()]
    told = json.loads(asked("status", "--json"))
    assert [(one["model"], one["records"]) for one in told["subjects"]] == [("atlas", 2), ("x", 1)]
