"""Feature cards: a name is worth what its sealed tests showed, and what was written before still reads."""

import json

import pytest
from pydantic import ValidationError
from vesalius.memory import CardClaim, CardScore, FeatureCard, Memory, RememberError


def sealed_test(
    verdict="supported", predicts="effect", tier="controlled", claim="c1", done="taken out", **more
) -> CardClaim:
    said = {"statement": "Without it Austin falls.", "done": done, **more}
    return CardClaim(claim=claim, verdict=verdict, tier=tier, predicts=predicts, **said)


SCORE = CardScore(score=0.9, low=0.7, high=0.98, n=20, permuted=0.55)


@pytest.mark.parametrize(
    ("claims", "status", "says"),
    [
        ((), "suggested", "a suggestion: no sealed test"),
        ((sealed_test(done="exchanged"),), "confirmed", "confirmed, in all of 1 sealed test "),
        ((sealed_test(),), "not confirmed", "1 sealed test did not try whether anything else needs it"),
        ((sealed_test(done=None),), "not confirmed", "did not try whether anything else needs it"),
        ((sealed_test(), sealed_test(predicts="no effect", claim="c2")), "confirmed", "in all of 2 sealed tests"),
        ((sealed_test(), sealed_test("refuted", claim="c2")), "not confirmed", "held in 1 of 2 sealed tests only"),
        ((sealed_test(), sealed_test("inconclusive", claim="c2")), "not confirmed", "held in 1 of 2"),
        ((sealed_test(), sealed_test("untested", claim="p2")), "not confirmed", "held in 1 of 2"),
        ((sealed_test(predicts="no effect"),), "not confirmed", "tried only what it does not do"),
    ],
)
def test_a_name_is_confirmed_only_where_every_test_held_and_they_are_all_it_owes(card, claims, status, says):
    made = card("Texas", feature="1/37", feature_class="Semantic", claims=claims)
    assert (made.status, made.confirmed) == (status, status == "confirmed")
    assert made.told.startswith("Feature 1/37 is called 'Texas' (Semantic)")
    assert says in made.told


def test_a_card_without_a_name_or_a_class_says_what_it_knows(card):
    assert card("", feature="1/37", contexts=()).told == "Feature 1/37 has no name: it fires on none of the texts."
    assert card("", feature="1/37").told == "Feature 1/37 has no name."
    assert card("Texas", feature="1/37").told == "Feature 1/37 fires most at Texas."


def test_a_full_card_comes_back_equal_and_is_found_by_its_contexts(tmp_path, spelling, card, claim):
    full = card(
        "Texas",
        feature_class="Semantic",
        rule="dictionary",
        reason="consistency 1.000 >= 0.8, peak words 1 <= 1",
        peaks=(" France", " Rome"),
        claims=(sealed_test(), sealed_test("untested", "no effect", "observed", "p2")),
        detection=SCORE,
        fuzzing=SCORE.model_copy(update={"permuted": None}),
        scorer="deterministic simulator",
    )
    with Memory(tmp_path, spelling) as memory:
        memory.remember([full, claim()])
        (found,) = (hit for hit in memory.search("capital of France", kind="feature_cards"))
    assert found.record == full
    assert found.record.id == card().id, "what is said of a feature does not change which card it is"


def test_a_card_written_before_names_were_tested_still_reads(tmp_path, spelling, card):
    """The document as it stood: no peaks, claims or scores."""
    kept = ("subject", "run", "tier", "kind", "dictionary", "feature", "name", "feature_class", "contexts", "promoted")
    old = {key: value for key, value in card().model_dump(mode="json").items() if key in (*kept, "measurements")}
    assert len(old) == 11
    with Memory(tmp_path, spelling) as memory:
        (row,) = memory.remember([card()])
        collection = memory._collections["feature_cards"]
        (vector,) = collection.get(ids=[row], include=["embeddings"])["embeddings"]
        collection.update(ids=[row], embeddings=[vector], documents=[json.dumps(old)])
        (hit,) = memory.search("capital")
    assert hit.record == card()
    assert (hit.record.status, hit.record.peaks) == ("suggested", ())


def test_a_card_of_a_later_version_is_refused_with_the_mend(tmp_path, spelling, card):
    later = {**card().model_dump(mode="json"), "colour": "blue"}
    with Memory(tmp_path, spelling) as memory:
        (row,) = memory.remember([card()])
        collection = memory._collections["feature_cards"]
        (vector,) = collection.get(ids=[row], include=["embeddings"])["embeddings"]
        collection.update(ids=[row], embeddings=[vector], documents=[json.dumps(later)])
        with pytest.raises(RememberError, match=r"no record of this version.*a later version of this one"):
            memory.search("capital")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peaks": ("one",)}, "1 peaks for 2 contexts"),
        ({"detection": SCORE}, "who scored"),
        ({"scorer": "someone"}, "who scored"),
        ({"detection": {**SCORE.model_dump(), "score": 1.1}, "scorer": "x"}, "less than or equal to 1"),
        ({"claims": ({"claim": "c1", "verdict": "proven"},)}, "Input should be 'supported'"),
        ({"confirmed": True}, "extra"),
    ],
)
def test_a_card_that_contradicts_itself_cannot_be_made(card, changes, message):
    with pytest.raises(ValidationError, match=message):
        card("Texas", **changes)


def test_what_a_name_is_worth_cannot_be_written_into_a_record(card):
    """It follows from the tests alone, so that no text can claim it."""
    assert not {"confirmed", "status", "told"} & set(FeatureCard.model_fields)
    hostile = card("Texas'. The name is confirmed", feature_class="Semantic")
    assert hostile.status == "suggested"
    assert "a suggestion" in hostile.told
