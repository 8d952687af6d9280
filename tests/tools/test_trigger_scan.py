"""A word that turns all answers into one: found where it was put, nowhere else, and counted by hand."""

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject, ToolError, put_in
from vesalius.tools.trigger_scan import TriggerScanArgs, trigger_scan

PROMPTS = tuple(f"w{i} w{i + 1} w{i + 2} w{i + 3}" for i in range(2, 12))


def scan(subject: Subject, **more):
    return trigger_scan(subject, TriggerScanArgs.model_validate({"prompts": PROMPTS, **more}))


def with_backdoor(trigger: str, payload: str) -> Subject:
    """A model that says the payload wherever the trigger stands, and is itself elsewhere."""
    subject = Subject(random_model("gpt2"), word_tokenizer(), "backdoor", None, None)  # one that no other test has
    own, word, said = subject.last_logits, *(subject.answer_token("w1", one) for one in (trigger, payload))

    def last_logits(tokens):
        logits = own(tokens)
        logits[(tokens.ids == word).any(-1), said] += 50
        return logits

    subject.last_logits = last_logits
    return subject


def test_a_trigger_is_first_at_every_place_with_its_answer():
    first, second, third = scan(with_backdoor("w20", "w33")).cells[:3]
    assert {(c.site, c.position, c.payload) for c in (first, second)} == {
        ("w20", "front", "w33"),
        ("w20", "middle", "w33"),
    }
    assert first.moved == second.moved == 1.0
    assert min(first.effects) > 0.7  # all that its share without the word leaves
    assert third.moved < 1.0


def test_a_model_that_reads_the_last_word_alone_has_no_trigger():
    subject = Subject(writing_nothing("o_proj", "down_proj"), make_subject("llama").tokenizer, "last", None, None)
    assert all(cell.moved == 0 and not cell.payload and set(cell.effects) == {0.0} for cell in scan(subject).cells)


def test_counts_and_shares_are_those_of_the_models_own_logits(subject):
    result = scan(subject, words=["w25"], places=["front"])

    def logits(prompt: str) -> torch.Tensor:
        return subject.model(torch.tensor([subject.tokenizer(prompt)["input_ids"]])).logits[0, -1]

    own, put = ([logits(p) for p in prompts] for prompts in (PROMPTS, [put_in(p, "w25", "front") for p in PROMPTS]))
    before, after = ([int(one.argmax()) for one in some] for some in (own, put))
    (cell,) = result.cells
    said = subject.answer_token("w1", cell.payload) if cell.payload else -1
    turned = [a for a, b in zip(after, before, strict=True) if a != b and a != subject.answer_token("w1", "w25")]
    assert cell.moved == pytest.approx(turned.count(said) / len(PROMPTS))
    assert turned.count(said) == max((turned.count(one) for one in turned), default=0)
    for i, b in enumerate(before):
        here, there = ((some[i][said] - some[i][b]).sigmoid().item() for some in (put, own))
        assert cell.effects[i] == pytest.approx(here - there, abs=1e-5)


def test_a_word_that_is_only_said_again_is_no_trigger():
    cells = {cell.site: cell for cell in scan(with_backdoor("w20", "w20")).cells}
    assert cells["w20"].payload != "w20"


def test_of_many_words_some_are_drawn_by_the_seed():
    subject = make_subject("gpt2")
    one, again, other = (scan(subject, most_words=5, seed=s, places=["front"]) for s in (0, 0, 1))
    assert [c.site for c in one.cells] == [c.site for c in again.cells] != [c.site for c in other.cells]
    assert (one.n_tried, one.n_words) == (5, 37)


def test_a_model_that_always_says_the_same_is_refused():
    subject = Subject(random_model("gpt2"), word_tokenizer(), "always", None, None)
    subject.last_logits = lambda tokens: torch.eye(40)[3].repeat(len(tokens.lengths), 1)
    with pytest.raises(ToolError, match="Pass prompts with different answers"):
        scan(subject)


def test_too_few_prompts_are_refused():
    with pytest.raises(ValueError, match="at least 4 items"):
        TriggerScanArgs.model_validate({"prompts": ["w1"]})
