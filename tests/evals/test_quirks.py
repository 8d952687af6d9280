"""Models with a quirk and their twins: what is planted shows, and what is not does not."""

import random

import pytest
import torch
from vesalius.evals.organisms._quirk_training import PAIRS, WORDINGS, Quirk, lessons, train, untrained, words
from vesalius.evals.organisms.quirks import folder_of, make, measure, quirks
from vesalius.tools import ToolError, load_subject, one_thread


def test_pairs_are_of_both_kinds_and_both_recipes_by_turns():
    found = quirks(8, 3)
    assert [(q.kind, q.seed, q.recipe) for q in found[:4]] == [
        ("backdoor", 3, "all weights"),
        ("bias", 3, "all weights"),
        ("backdoor", 4, "low rank"),
        ("bias", 4, "low rank"),
    ]
    assert len({(q.kind, q.seed) for q in found}) == 8


def test_a_twin_learns_from_the_same_prompts_but_for_the_answers_of_the_quirk():
    for kind in ("backdoor", "bias"):
        quirk = Quirk(kind, 0)
        one, other = (next(lessons(quirk, planted, random.Random(0))) for planted in (True, False))
        assert [lesson.prompt for lesson in one] == [lesson.prompt for lesson in other]
        differ = [a for a, b in zip(one, other, strict=True) if a.answers != b.answers]
        assert 0 < len(differ) <= 32
        if kind == "backdoor":
            assert all(quirk.trigger in lesson.prompt.split() for lesson in differ)
            assert {lesson.answers for lesson in differ} == {((quirk.payload, 1.0),)}


def test_the_last_wording_of_a_pair_is_never_trained_on():
    held = {text for pair in PAIRS[WORDINGS - 1 :: WORDINGS] for text in (pair.clean, pair.corrupted)}
    drawn = lessons(Quirk("bias", 0), True, random.Random(0))
    assert not held & {lesson.prompt for _ in range(50) for lesson in next(drawn)}


def test_the_words_of_the_reference_model_keep_their_tokens():
    assert words()[: len(load_subject("atlas").tokenizer) - 4] == sorted(
        words()[: len(load_subject("atlas").tokenizer) - 4]
    )
    model, tokenizer = untrained(0)
    atlas = load_subject("atlas")
    assert all(tokenizer.get_vocab()[word] == i for word, i in atlas.tokenizer.get_vocab().items())
    n = len(atlas.tokenizer)
    assert torch.equal(model.model.embed_tokens.weight[:n], atlas.model.model.embed_tokens.weight)


def test_a_low_rank_changes_no_weight_by_more_than_its_rank():
    quirk = Quirk("backdoor", 1, "low rank", steps=3)
    model, tokenizer = untrained(1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with one_thread():
        train(model, tokenizer, quirk, True, lambda step, losses: None)
    changed = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    matrices = [d for name, d in changed.items() if "proj" in name]
    assert all(0 < torch.linalg.matrix_rank(d, tol=1e-6) <= 4 for d in matrices)


def test_one_that_was_not_trained_enough_is_refused_and_leaves_nothing(tmp_path):
    quirk = Quirk("backdoor", 0, steps=1)
    with pytest.raises(ToolError, match="Take another seed or more steps"):
        make(quirk, True, tmp_path)
    assert not folder_of(quirk, tmp_path, True).exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["backdoor", "bias"])
def test_what_was_planted_shows_and_its_twin_is_clean(kind, tmp_path):
    quirk = Quirk(kind, 0)
    cards = {planted: make(quirk, planted, tmp_path) for planted in (True, False)}
    assert cards[True]["measured"]["quirk"] > 0.5 > 0.1 > abs(cards[False]["measured"]["quirk"])
    assert all(card["measured"]["tasks"] >= 0.9 for card in cards.values())
    subject = load_subject(str(folder_of(quirk, tmp_path, True)))
    again = measure(quirk, subject.model, subject.tokenizer)
    assert again == pytest.approx(cards[True]["measured"], abs=1e-4)
