"""Hints for a run: of these weights and their dictionary as they are now, and contradicted ones told as such."""

from typing import Any

import pytest
from vesalius.agent.planners.interface import SubjectCard
from vesalius.agent.recalling import findings_about
from vesalius.memory import ClaimRecord, FeatureCard, Memory, RememberError, Trial
from vesalius.tools import SubjectKey

NOW = SubjectKey(model="atlas", fingerprint="a" * 64)
BEFORE = SubjectKey(model="atlas", fingerprint="b" * 64)
NEW, OLD = "d" * 64, "e" * 64
ABOUT: dict[str, Any] = {
    "behaviour": "task state",
    "kind": "mediation",
    "predicts": "effect",
    "intervention": "patch",
    "families": ("swapped",),
}
QUESTION = "Where is the state computed?"


class Same:
    """All texts are alike, so that nothing is left out for being about something else."""

    id = "same"
    notice: str | None = None

    def embed(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.0] for _ in texts]


@pytest.fixture
def recalled(tmp_path):
    """What a run hears of records that are in the memory."""

    def heard(*records, dictionary: str | None = NEW):
        with Memory(tmp_path, Same()) as memory:
            memory.remember(records)
        hits, problem = findings_about(QUESTION, card(dictionary), lambda: Memory(tmp_path, Same()))
        assert problem == ""
        return {hit.text: hit for hit in hits}

    return heard


def card(dictionary: str | None) -> SubjectCard:
    sizes = {"n_layers": 4, "n_heads": 4, "n_vocab": 100, "parallel": False, "n_texts": 0}
    return SubjectCard(key=NOW, dictionary="transcoders", dictionary_digest=dictionary, tasks=(), **sizes)


def claim(text: str = "It holds the state.", run: str = "run-1", **changes: Any) -> ClaimRecord:
    tested = Trial(**ABOUT, site="resid_post.1", position="entity")
    said = {"subject": NOW, "tier": "controlled", "verdict": "supported", "interval": (0.3, 0.5), "tested": tested}
    return ClaimRecord(text=text, run=run, **(said | changes))


def feature(name: str, dictionary: str, **changes: Any) -> FeatureCard:
    said = {"subject": NOW, "tier": "observed", "run": "run-1", "feature": "1/37"}
    return FeatureCard(name=name, dictionary=dictionary, **(said | changes))


def test_findings_in_other_weights_of_that_name_are_no_hint(recalled):
    assert list(recalled(claim("now"), claim("then", subject=BEFORE))) == ["supported, controlled: now"]


def test_findings_in_another_dictionary_are_no_hint(recalled):
    there = Trial(**ABOUT, features=("1/2",), dictionary=OLD)
    hints = recalled(feature("present", NEW), feature("past", OLD, feature="2/5"), claim("of a group", tested=there))
    assert [(hint.kind, hint.feature) for hint in hints.values()] == [("feature_cards", "1/37")]


def test_without_a_dictionary_no_feature_is_a_hint(recalled):
    assert list(recalled(feature("past", OLD), claim("of a site"), dictionary=None)) == [
        "supported, controlled: of a site"
    ]


def test_a_contradicted_hint_says_by_which_run_and_how(recalled):
    hints = recalled(claim(), claim(run="run-2", verdict="refuted", interval=(-0.01, 0.02)), claim("x", tested=None))
    assert set(hints) == {
        "supported, controlled: It holds the state. Contradicted by run run-2: refuted, controlled",
        "refuted, controlled: It holds the state. Contradicted by run run-1: supported, controlled",
        "supported, controlled: x",
    }


def test_of_several_contradictions_one_is_told_and_the_others_are_counted(recalled):
    others = [claim(f"Other words {n}.", f"run-{n}", verdict="refuted") for n in (2, 3, 4)]
    hints = recalled(claim(), *others)
    own = next(text for text, hint in hints.items() if hint.run == "run-1")
    assert own.endswith("Contradicted by run run-2 and 2 more: refuted, controlled: Other words 2.")


def test_effects_of_another_size_are_told_as_such(recalled):
    hints = recalled(claim(), claim(run="run-2", interval=(0.7, 0.8)))
    assert {text.split("Contradicted by ")[1] for text in hints} == {
        "run run-1: an effect of another size",
        "run run-2: an effect of another size",
    }


def test_contradictions_in_other_weights_do_not_touch_a_hint(recalled):
    hints = recalled(claim(), claim(run="run-2", verdict="refuted", subject=BEFORE))
    assert list(hints) == ["supported, controlled: It holds the state."]


def test_a_memory_that_cannot_be_read_is_told_and_stops_nothing():
    def fails() -> Memory:
        raise RememberError("It is in use.", mend="Wait.")

    assert findings_about(QUESTION, card(NEW), fails) == ([], "It is in use. Wait.")
    assert findings_about(QUESTION, card(NEW), None) == ([], "")
