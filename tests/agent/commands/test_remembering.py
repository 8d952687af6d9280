"""Searching the memory: each finding is shown once."""

from vesalius.agent.commands.remembering import findings
from vesalius.memory import ClaimRecord, Hit, HypothesisRecord
from vesalius.tools import SubjectKey

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
