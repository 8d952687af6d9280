"""Exact conditions, and findings about what a model no longer is."""

import pytest
from pydantic import ValidationError
from vesalius.memory import Memory, Only, Present, Recall, RememberError, StaleHit, _rows as rows_module
from vesalius.tools import SubjectKey

RETRAINED = SubjectKey(model="atlas", fingerprint="c" * 64)
NEW, OLD = "d" * 64, "e" * 64


@pytest.fixture
def memory(tmp_path, spelling):
    with Memory(tmp_path / "memory", spelling) as opened:
        yield opened


@pytest.fixture
def records(claim, hypothesis, card, tested, others, twin):
    """Records that differ in one condition each."""
    return [
        claim("one", tested=tested()),
        claim("two", tested=tested(site="resid_post.10")),
        claim("three", tier="observed", verdict="refuted"),
        claim("four", run="run-2", tier="replicated"),
        claim("five", subject=others, tested=tested()),
        claim("six", subject=twin, tested=tested()),
        hypothesis("seven", tested=tested(), tier="causal"),
        card("eight", tier="replicated"),
    ]


@pytest.mark.parametrize(
    ("only", "texts"),
    [
        ({"site": "resid_post.1"}, {"one", "five", "six", "seven"}),
        ({"tier": "controlled"}, {"one", "two", "four", "five", "six", "eight"}),
        ({"tier": "observed"}, {"one", "two", "three", "four", "five", "six", "seven", "eight"}),
        ({"verdict": "refuted"}, {"three"}),
        ({"run": "run-2"}, {"four"}),
        ({"model": "gpt2"}, {"five"}),
        ({"model": "atlas"}, {"one", "two", "three", "four", "six", "seven", "eight"}),
        ({"model": "a" * 64}, {"one", "two", "three", "four", "seven", "eight"}),
        ({"model": "a" * 63}, set()),
        ({"model": "atlas", "site": "resid_post.1", "tier": "controlled"}, {"one", "six"}),
        ({"run": "run"}, set()),
    ],
)
def test_conditions_are_exact_and_all_have_to_hold(memory, records, only, texts, monkeypatch):
    memory.remember(records)
    wanted = Only(**only)
    assert {first_word(hit.record) for hit in memory.search("any", only=wanted)} == texts
    assert {first_word(record) for record in memory.records(only=wanted)} == texts
    monkeypatch.setattr(rows_module, "LOOK_THROUGH_ALL", 0)  # the other road: by the index
    assert {first_word(hit.record) for hit in memory.search("any", only=wanted)} == texts


def first_word(record):
    return {"claims": "text", "hypotheses": "statement", "feature_cards": "name"}[record.kind] and (
        getattr(record, "text", "") or getattr(record, "statement", "") or getattr(record, "name", "")
    )


def test_recall_takes_the_same_conditions(memory, records, these):
    memory.remember(records)
    recalled = memory.recall("any", these, only=Only(site="resid_post.1", tier="controlled"))
    assert [hit.record.text for hit in recalled.same_weights] == ["one"]
    assert {hit.record.text for hit in recalled.other_weights} == {"five", "six"}


def test_a_record_that_lost_its_site_is_no_longer_found_by_it(memory, claim, tested):
    memory.remember([claim("one", tested=tested())])
    memory.remember([claim("one")])
    assert memory.search("one", only=Only(site="resid_post.1")) == ()
    assert len(memory.search("one")) == 1


@pytest.mark.parametrize("condition", [{"tier": "proven"}, {"verdict": "true"}, {"site": ""}, {"colour": "blue"}])
def test_a_condition_that_nothing_could_meet_is_refused(condition):
    with pytest.raises(ValidationError):
        Only(**condition)


def test_a_store_of_an_earlier_version_is_indexed_when_it_is_opened(tmp_path, spelling, claim, tested):
    written = claim(tested=tested())
    with Memory(tmp_path, spelling) as memory:
        memory.remember([written])
        collection = memory._collections["claims"]
        collection.modify(metadata={"embedder": spelling.id})  # as it was: no mark, and three fields
        fields = {"weights": written.subject.fingerprint, "run": written.run, "tier": written.tier}
        collection.delete(ids=[written.id])
        vectors = spelling.embed([written.wording])
        document = written.model_dump_json()
        collection.upsert(ids=[written.id], embeddings=vectors, documents=[document], metadatas=[fields])
        assert memory.search("copies", only=Only(site="resid_post.1")) == ()
    with Memory(tmp_path, spelling) as memory:
        (hit,) = memory.search("copies", only=Only(site="resid_post.1", model="atlas", verdict="supported"))
        assert hit.record == written
        assert memory._collections["claims"].metadata == {"embedder": spelling.id, "index": "2"}


def test_findings_in_weights_that_had_the_name_are_stale_and_no_hint(memory, claim, these):
    memory.remember([claim("of the present weights"), claim("of the old weights", subject=RETRAINED, run="run-0")])
    recalled = memory.recall("weights", these)
    assert [hit.record.text for hit in recalled.same_weights] == ["of the present weights"]
    assert [(hit.record.text, hit.stale) for hit in recalled.stale] == [
        ("of the old weights", f"other weights: found in {'c' * 12}, the model has {'a' * 12} now")
    ]
    assert recalled.other_weights == ()
    assert all(type(hit) is StaleHit for hit in recalled.stale)


def test_findings_in_a_dictionary_that_was_replaced_are_stale_and_no_hint(memory, card, claim, tested, these):
    about = {"site": "", "position": "", "features": ("1/37",)}
    memory.remember(
        [
            card("a card of the present one", dictionary=NEW, feature="1/1"),
            card("a card of the old one", dictionary=OLD, feature="1/2"),
            claim("a claim in the old one", tested=tested(**about, dictionary=OLD)),
            claim("a claim about a site", tested=tested()),
        ]
    )
    recalled = memory.recall("one", these, dictionaries=(NEW,))
    assert {first_word(hit.record) for hit in recalled.same_weights} == {
        "a card of the present one",
        "a claim about a site",
    }
    assert {first_word(hit.record) for hit in recalled.stale} == {"a card of the old one", "a claim in the old one"}
    assert {hit.stale for hit in recalled.stale} == {
        f"another dictionary: found in {'e' * 12}, the model has {'d' * 12} now"
    }
    none_left = memory.recall("one", these, dictionaries=())
    assert {first_word(hit.record) for hit in none_left.same_weights} == {"a claim about a site"}
    unchecked = memory.recall("one", these)
    assert (len(unchecked.same_weights), unchecked.stale) == (4, ())


def test_a_nearer_stale_finding_does_not_push_out_one_that_holds(memory, claim, these):
    memory.remember([claim("Head 3.5 copies.", subject=RETRAINED, run=f"run-{i}") for i in range(20)])
    memory.remember([claim("Quite another matter")])
    recalled = memory.recall("Head 3.5 copies.", these, limit=2)
    assert [hit.record.text for hit in recalled.same_weights] == ["Quite another matter"]
    assert len(recalled.stale) == 2


def test_twins_and_other_models_are_not_stale(memory, claim, these, others, twin):
    memory.remember([claim("twin", subject=twin), claim("other", subject=others)])
    recalled = memory.recall("any", these)
    assert recalled.stale == ()
    assert {hit.record.text for hit in recalled.other_weights} == {"twin", "other"}


def test_every_record_is_recalled_in_exactly_one_sort(memory, records, claim, card, these):
    """A second road: the conditions given to the database against what is said of each record."""
    memory.remember([*records, claim("old", subject=RETRAINED), card("old card", dictionary=OLD)])
    recalled = memory.recall("any", these, limit=50, dictionaries=(NEW,))
    sorts = [recalled.same_weights, recalled.stale, recalled.other_weights]
    ids = [hit.id for hits in sorts for hit in hits]
    assert sorted(ids) == sorted(record.id for record in memory.records())


def test_search_marks_what_is_stale_only_where_a_model_is_given(memory, claim, these):
    memory.remember([claim("now"), claim("then", subject=RETRAINED)])
    marked = {hit.record.text: hit.stale for hit in memory.search("any", present=Present(subject=these))}
    assert marked == {"now": "", "then": f"other weights: found in {'c' * 12}, the model has {'a' * 12} now"}
    assert {hit.stale for hit in memory.search("any")} == {""}


def test_a_recall_that_calls_a_stale_finding_sound_cannot_be_made(claim, these):
    present = Present(subject=these)
    old = claim(subject=RETRAINED)
    why = present.staleness(old)
    with pytest.raises(ValidationError, match="does not say why"):
        Recall(present=present, stale=(StaleHit(id="x", similarity=1.0, record=old),))
    with pytest.raises(ValidationError, match="stands among those that hold"):
        Recall(present=present, stale=(StaleHit(id="x", similarity=1.0, record=claim()),))
    assert Recall(present=present, stale=(StaleHit(id="x", similarity=1.0, record=old, stale=why),))


def test_weights_are_listed_with_their_records_and_runs(memory, records):
    memory.remember(records)
    held = {(one.model, one.weights[:1], "reinit" in one.weights): (one.records, one.runs) for one in memory.subjects()}
    assert held == {("atlas", "a", False): (6, 2), ("atlas", "a", True): (1, 1), ("gpt2", "b", False): (1, 1)}


def test_a_damaged_store_is_not_indexed_in_silence(tmp_path, spelling, claim):
    with Memory(tmp_path, spelling) as memory:
        (row,) = memory.remember([claim()])
        collection = memory._collections["claims"]
        (vector,) = collection.get(ids=[row], include=["embeddings"])["embeddings"]
        collection.update(ids=[row], embeddings=[vector], documents=["{}"])
        collection.modify(metadata={"embedder": spelling.id})
    with pytest.raises(RememberError, match="no record of this version"):
        Memory(tmp_path, spelling)
