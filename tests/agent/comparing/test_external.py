"""A parent that nobody here made, and its child: fine-tuning took away what the parent's claims are about."""

import random
import re

import pytest
from finished_runs import finish
from vesalius.agent.asking import Where
from vesalius.agent.comparing.inputs import side_a, side_b
from vesalius.agent.comparing.whole import compared
from vesalius.agent.planners.interface import ContrastPair
from vesalius.tools import ToolError, load_subject

QUESTION = "Where is the effect of an earlier word on the next computed?"
WORD = re.compile(r" [a-z]+")
SURE, SURE_OF_OTHER = 0.6, 0.5
TRIED, MOST_PAIRS = 120, 48


def said(subject, prompts):
    """What comes next, how sure, and how many tokens the prompt has."""
    found = []
    for start in range(0, len(prompts), 256):
        tokens = subject.tokenise(prompts[start : start + 256])
        p, ids = subject.last_logits(tokens).softmax(-1).max(-1)
        found += zip(subject.token_strings(ids.tolist()), p.tolist(), tokens.lengths, strict=True)
    return found


def contrasts(subject, text):
    """Beginnings of sentences of its training text, and the same with another earlier word, which change the answer."""
    rng = random.Random(0)
    sentences = [one.strip().split(" ") for one in dict.fromkeys(re.split(r"(?<=[.?!])\s+", text))]
    begun = list(dict.fromkeys(" ".join(s[:n]) for s in sentences for n in range(4, 9) if len(s) > n))
    words = list(dict.fromkeys(w for s in sentences for w in s if re.fullmatch(r"[a-zA-Z0-9]+", w)))
    sure = [(p, *a) for p, a in zip(begun, said(subject, begun), strict=True) if a[1] > SURE and WORD.fullmatch(a[0])]
    rng.shuffle(sure)
    found = {}
    for prompt, answer, _, length in sure:
        tokens = prompt.split(" ")
        others = [
            " ".join([*tokens[:i], word, *tokens[i + 1 :]])
            for i in range(max(0, len(tokens) - 4), len(tokens) - 1)
            for word in rng.sample(words, TRIED)
        ]
        for other, (foil, p, n) in zip(others, said(subject, others), strict=True):
            if p > SURE_OF_OTHER and n == length and foil != answer and WORD.fullmatch(foil):
                try:
                    for one in (prompt, other):
                        subject.answer_token(one, answer.strip())
                        subject.answer_token(one, foil.strip())
                except ToolError:
                    continue
                pair = ContrastPair(clean=prompt, corrupted=other, answer=answer.strip(), foil=foil.strip())
                found.setdefault(tuple(tokens[-2:]), pair)
                break
    return tuple(found.values())[:MOST_PAIRS]


@pytest.mark.external
@pytest.mark.slow
def test_a_child_that_lost_its_parents_answers_is_told_so(external, tmp_path):
    parent, child = (str(external / "models" / name) for name in ("gpt2basic-gold-v4-hf", "gpt2basic-doshelp-hf"))
    subject = load_subject(parent, device="cpu")
    pairs = contrasts(subject, (external / "text" / "gpt2basic" / "gold_curriculum_v4.txt").read_text())
    assert len(pairs) == MOST_PAIRS
    run = finish(Where(tmp_path, use_memory=False), subject, QUESTION, pairs)
    assert run.report.claims

    def load(name):
        return load_subject(name, device="cpu")

    whole, folder = compared(tmp_path, side_a(tmp_path, [run.folder.name], load), side_b(tmp_path, child), load)
    (premise,) = (one for one in whole.retested.behaviours if one.is_premise)
    assert (premise.right_a, premise.gone) == (MOST_PAIRS, True)
    assert premise.right_b <= 2
    supported = [one for one in whole.retested.claims if one.earlier.verdict == "supported"]
    assert {(one.label, one.cause) for one in supported} == {("broke", "behaviour")}
    # Its unembedding changed most, and most of that along one direction.
    weights = whole.weights
    assert (weights.same_vocabulary, weights.identical, weights.unchanged) == (True, False, ())
    assert weights.groups[0].group == "unembedding"
    assert weights.groups[0].relative == pytest.approx(0.833, abs=0.001)
    assert weights.groups[0].top_1 == pytest.approx(0.678, abs=0.001)
    assert weights.groups[-1].group == "embedding"
    assert (folder / "comparison.html").is_file()
