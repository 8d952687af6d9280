"""What an attempt does to a claim, and to the words that may be used of it."""

import pytest
from vesalius.agent._attempts import Attempt, attempts_in, is_broken, outcome_of, tier_of
from vesalius.agent._evidence import Arm, Hypothesis, Judgement, Prediction
from vesalius.agent.planners.interface import JudgedClaim, Proposal, Words
from vesalius.agent.report._attempt_words import attempt_sentence, broken_sentence, tally
from vesalius.agent.report.schema import Sentence
from vesalius.agent.tempered import tempered


def judged(verdict: str, effect: float = 0.0, q: float = 0.001, tier: str = "replicated") -> Judgement:
    return Judgement.model_validate(
        {
            "verdict": verdict,
            "tier": tier,
            "effect": effect,
            "low": effect - 0.01,
            "high": effect + 0.01,
            "p": 0.001,
            "p_meaning": "chance",
            "q": q,
            "n_pairs": 20,
            "n_clusters": 20,
            "moved_share": 0.0,
            "random_max": None,
            "twin_effect": None,
            "shuffled_moved_share": None,
            "minimum_detectable": 0.1,
            "gates": (),
            "reason": "Too few clusters.",
        }
    )


def predicted(direction: str) -> Prediction:
    return Prediction.model_validate(
        {
            "id": "p1",
            "hypothesis": "h1",
            "kind": "mediation" if direction == "positive" else "absence",
            "direction": direction,
            "arms": (Arm(label="a", counterfactual_family="a", tool="patch", args={}),),
            "chance": 0.1,
            "holds_out_entities": True,
            "holds_out_template": True,
        }
    )


def claim(*outcomes: str, tier: str = "replicated") -> JudgedClaim:
    hypothesis = Hypothesis(id="h1", statement="It is so.", kind="mediation", alternatives=(), refuted_if="never")
    return JudgedClaim(
        id="c1",
        proposal=Proposal(hypothesis=hypothesis, prediction=predicted("positive")),
        judgement=judged("supported", 0.9, tier=tier),
        attempts=tuple(
            Attempt.model_validate(
                {
                    "id": f"c1.{i}",
                    "by": "",
                    "way": "in other wordings",
                    "n_asked": 9,
                    "n_pairs": 8,
                    "outcome": outcome,
                    "reason": "The effect is gone.",
                    "judgement": judged("supported"),
                }
            )
            for i, outcome in enumerate(outcomes, start=1)
        ),
    )


@pytest.mark.parametrize(
    ("direction", "found", "outcome"),
    [
        ("positive", judged("supported", 0.0), "broken"),
        ("positive", judged("refuted", 0.5), "survived"),
        ("positive", judged("refuted", -0.5), "broken"),
        ("positive", judged("refuted", 0.5, q=0.2), "undecided"),
        ("positive", judged("inconclusive", 0.5), "undecided"),
        ("none", judged("supported", 0.0), "survived"),
        ("none", judged("refuted", 0.5), "broken"),
        ("none", judged("refuted", -0.5), "broken"),
        ("none", judged("refuted", 0.5, q=0.2), "undecided"),
    ],
)
def test_a_claim_is_broken_by_what_the_judge_made_of_the_opposite(direction, found, outcome):
    assert outcome_of(predicted(direction), found)[0] == outcome


@pytest.mark.parametrize(("tier", "told"), [("replicated", "controlled"), ("causal", "causal")])
def test_a_broken_claim_is_told_as_controlled_at_most_and_keeps_its_verdict(tier, told):
    broken = claim("survived", "broken", tier=tier)
    assert is_broken(broken)
    assert tier_of(broken) == told
    assert broken.judgement.verdict == "supported"
    assert tier_of(claim("survived", "undecided", tier=tier)) == tier


def test_words_of_a_broken_claim_may_not_say_that_it_holds_in_general():
    said = Sentence(text="It always causes it.")
    words = Words(premise_holds=True, premise=said, answer=(said,), claims={"c1": said})
    assert tempered(words, [claim("survived")]).answer == (said,)
    assert "does not bear the words `always`" in tempered(words, [claim("broken")]).answer[0].text
    assert "does not bear" in tempered(words, [claim("broken")]).claims["c1"].text


def test_the_answer_says_on_which_prompts_a_claim_was_broken():
    said = broken_sentence(claim("survived", "broken")).text
    assert "does not hold on all prompts" in said
    assert "on prompts in other wordings it was broken" in said
    assert "{{c1:attempts.1.judgement.effect|.2f}}" in said


def test_attempts_are_counted_by_what_came_of_them():
    assert tally(claim("survived", "broken", "undecided").attempts) == (
        "Attempts to break it: 3 (1 survived, 1 broke it, 1 undecided)."
    )
    assert attempt_sentence("c1", 0, claim("broken").attempts[0]).text.startswith("`c1.1` broken.")


def test_a_ledger_without_attempts_has_none():
    assert attempts_in((), predicted("positive"), "c1") == ()
