"""Cards made from real measurements: what they take over, and that a name is worth what its own tests showed."""

from typing import Any

import pytest
from rich.console import Console
from vesalius.agent._evidence import Arm, Hypothesis, Judgement, Prediction, predicts_all_due
from vesalius.agent._feature_cards import Tests as SealedTests, cards_of
from vesalius.agent._samples import arm_key
from vesalius.agent.commands.remembering import _print, details
from vesalius.agent.planners.interface import JudgedClaim, Proposal
from vesalius.agent.recalling import _told
from vesalius.agent.remembering import _where
from vesalius.memory import HashingEmbedder, Memory
from vesalius.tools import Measurement, get_tool

ASKED = {"prompt": "the capital of the state containing Dallas is", "target": "Austin", "per_concept": 4}


def measure(subject, tool: str, args: dict[str, Any]) -> Measurement:
    return get_tool(tool).measure(subject, get_tool(tool).parse(args))


@pytest.fixture(scope="module")
def probed(atlas) -> Measurement:
    return measure(atlas, "probe_prompts", {**ASKED, "max_features": 6})


@pytest.fixture(scope="module")
def scored(atlas, probed) -> Measurement:
    found = probed.result
    features = [{"feature": place(f), "name": f["name"], "group": f["group"]} for f in found["features"]]
    contexts = [one["text"] for one in found["probes"] if one["held_out"]]
    args = {"features": features, "contexts": contexts, "neutral": 40, "per_kind": 2, "fewest": 2, "permutations": 1}
    return measure(atlas, "score_names", args)


@pytest.fixture(scope="module")
def described(atlas, probed) -> Measurement:
    return measure(atlas, "describe_feature", {"feature": place(probed.result["features"][0]), "top_k": 3})


def place(one: dict[str, Any]) -> str:
    return f"{one['layer']}/{one['feature']}"


def proposal(number: int, name: str, features: tuple[str, ...], direction: str = "positive") -> Proposal:
    args = {"supernode": name, "features": list(features), "dictionary": "transcoders", "mode": "ablate", "pairs": []}
    return Proposal(
        hypothesis=Hypothesis(
            id=f"h{number}", statement=f"{name} matters.", kind="mediation", alternatives=(), refuted_if="it does not"
        ),
        prediction=Prediction.model_validate(
            {
                "id": f"p{number}",
                "hypothesis": f"h{number}",
                "kind": "absence" if direction == "none" else "mediation",
                "direction": direction,
                "arms": [Arm(label="arm", counterfactual_family="f", tool="supernode_effect", args=args)],
                "chance": 0.0,
                "holds_out_entities": True,
                "holds_out_template": True,
            }
        ),
    )


def judged(sealed: Proposal, verdict: str, tier: str = "controlled") -> JudgedClaim:
    judgement = Judgement.model_construct(verdict=verdict, tier=tier)
    return JudgedClaim(id=sealed.prediction.id.replace("p", "c"), proposal=sealed, judgement=judgement)


def made(subject, results, sealed=(), claims=()):
    tests = SealedTests(sealed, claims, {str(i): one for i, one in enumerate(results)})
    return {card.feature: card for card in cards_of(subject.key, "run-1", tests)}


def test_a_card_takes_over_what_was_measured_of_its_feature(atlas, probed, scored, described):
    cards = made(atlas, [described, probed, scored])
    assert cards.keys() == {place(one) for one in probed.result["features"]}
    for one, score in zip(probed.result["features"], scored.result["features"], strict=True):
        card = cards[place(one)]
        assert (card.name, card.feature_class, card.rule, card.reason) == tuple(
            one[key] for key in ("name", "group", "rule", "reason")
        )
        assert (card.dictionary, card.subject) == (probed.result["dictionary_digest"], atlas.key)
        assert (card.status, card.tier) == ("suggested", "observed")
        assert (card.detection is None) == (score["detection"] is None)
        if card.detection:
            assert card.detection.model_dump() == {key: score["detection"][key] for key in card.detection.model_dump()}
            assert card.scorer == "deterministic simulator"
        assert len(card.peaks) == len(card.contexts) > 0
        assert all(peak in text for peak, text in zip(card.peaks, card.contexts, strict=True))
    assert any(card.detection for card in cards.values())
    first, other = cards[place(probed.result["features"][0])], cards[place(probed.result["features"][1])]
    assert first.contexts == tuple(one["text"] for one in described.result["contexts"])
    assert first.promoted == tuple(one["token"] for one in described.result["promoted"])
    assert first.measurements == (described.id, probed.id, scored.id)
    assert other.promoted == ()
    assert other.measurements[:1] == (probed.id,)


def test_contexts_of_a_probed_feature_are_its_strongest_probes(atlas, probed):
    card = made(atlas, [probed])[place(one := probed.result["features"][1])]
    readings = [*one["readings"], *one["held_out"]["readings"]]
    strongest = max(readings, key=lambda r: r["peak"])
    assert card.contexts[0] == probed.result["probes"][strongest["probe"]]["text"]
    assert card.peaks[0] == strongest["word"]
    assert len(card.contexts) == min(8, len(readings))


def test_a_name_is_confirmed_by_the_verdicts_on_its_own_supernode_alone(atlas, probed):
    one = probed.result["features"][0]
    name, feature = one["name"], place(one)
    mine, spared = proposal(1, name, (feature,)), proposal(2, name, (feature,), "none")
    another, elsewhere = proposal(3, "another name", (feature,)), proposal(4, name, ("3/1",))
    sealed = (mine, spared, another, elsewhere)
    strangers = (judged(another, "refuted"), judged(elsewhere, "refuted"))
    held = (judged(mine, "supported", "replicated"), judged(spared, "supported", "causal"))
    card = made(atlas, [probed], sealed, (*held, *strangers))[feature]
    assert [(claim.claim, claim.verdict, claim.predicts) for claim in card.claims] == [
        ("c1", "supported", "effect"),
        ("c2", "supported", "no effect"),
    ]
    assert (card.status, card.tier) == ("confirmed", "causal"), "as sure as the weakest of its tests"
    failed = made(atlas, [probed], sealed, (held[0], judged(spared, "inconclusive")))[feature]
    assert (failed.status, failed.tier) == ("not confirmed", "observed")
    alone = made(atlas, [probed], (mine,), held[:1])[feature]
    assert (alone.status, alone.claims[0].done) == ("not confirmed", "taken out"), "nobody asked whether for that alone"
    untested = made(atlas, [probed], sealed, held[:1])[feature]
    assert [claim.verdict for claim in untested.claims] == ["supported", "untested"]
    assert (untested.status, untested.tier) == ("not confirmed", "observed")
    nothing = made(atlas, [probed], (another,), (judged(another, "supported"),))[feature]
    assert (nothing.status, nothing.claims) == ("suggested", ())


@pytest.mark.parametrize("modes", [("swap",), ("ablate",), ("ablate", "ablate"), ("swap", "ablate")])
@pytest.mark.parametrize("directions", [("positive", "none"), ("none", "positive")])
def test_cards_and_reports_ask_a_name_for_the_same_tests(atlas, probed, modes, directions):
    """A report reads predictions, a card what it kept of them: they must not differ in what confirms a name."""
    one = probed.result["features"][0]
    sealed = [
        taken(proposal(n, one["name"], (place(one),), direction), mode)
        for n, (mode, direction) in enumerate(zip(modes, directions, strict=False), start=1)
    ]
    card = made(atlas, [probed], sealed, [judged(mine, "supported") for mine in sealed])[place(one)]
    assert card.confirmed is predicts_all_due(mine.prediction for mine in sealed)


def taken(mine: Proposal, mode: str) -> Proposal:
    """The proposal, its group exchanged or taken out."""
    arms = tuple(arm.model_copy(update={"args": arm.args | {"mode": mode}}) for arm in mine.prediction.arms)
    return mine.model_copy(update={"prediction": mine.prediction.model_copy(update={"arms": arms})})


def test_a_test_in_another_dictionary_says_nothing(atlas, probed):
    one = probed.result["features"][0]
    mine = proposal(1, one["name"], (place(one),))
    arms = tuple(arm.model_copy(update={"args": arm.args | {"dictionary": "other"}}) for arm in mine.prediction.arms)
    moved = mine.model_copy(update={"prediction": mine.prediction.model_copy(update={"arms": arms})})
    assert made(atlas, [probed], (moved,), (judged(moved, "supported"),))[place(one)].claims == ()


def test_of_two_names_the_one_that_was_tested_counts(atlas, probed):
    result = probed.result
    later = [{**one, "name": "later"} for one in result["features"]]
    again = probed.model_copy(update={"id": "m-later", "result": {**result, "features": later}})
    one = result["features"][0]
    mine = proposal(1, one["name"], (place(one),))
    cards = made(atlas, [probed, again], (mine,), (judged(mine, "refuted"),))
    assert cards[place(one)].name == one["name"]
    assert cards[place(result["features"][1])].name == "later"


def test_scores_of_another_name_are_not_taken_over(atlas, probed, scored):
    features = [{**one, "name": "other"} for one in scored.result["features"]]
    other = scored.model_copy(update={"result": {**scored.result, "features": features}})
    cards = made(atlas, [probed, other])
    assert not any(card.detection or card.fuzzing or card.scorer for card in cards.values())
    assert {card.name for card in made(atlas, [other]).values()} == {"other"}, "scored alone, the name scored"


def test_who_gave_judgements_stands_on_the_card(atlas, probed, scored):
    said = {**scored.result, "simulator": "judgements", "scorer": "some-model"}
    cards = made(atlas, [probed, scored.model_copy(update={"result": said})])
    assert {card.scorer for card in cards.values() if card.detection} == {"judgements of some-model"}


def test_what_was_measured_on_a_twin_makes_no_card(atlas, probed):
    twin = probed.model_copy(update={"subject": probed.subject.model_copy(update={"reinit_seed": 1})})
    assert made(atlas, [twin]) == {}


def test_a_feature_that_was_only_described_is_told_by_where_it_peaks(atlas, described):
    (card,) = made(atlas, [described]).values()
    assert card.feature_class == ""
    assert card.told == f"Feature {card.feature} fires most at {card.peaks[0]}."
    silent = described.model_copy(update={"result": {**described.result, "contexts": []}})
    (card,) = made(atlas, [silent]).values()
    assert card.told == f"Feature {card.feature} has no name: it fires on none of the texts."


def test_a_feature_that_no_probe_activates_keeps_what_its_texts_show(atlas, probed, described):
    first = {**probed.result["features"][0], "name": "", "group": "Ambiguous", "rule": "inactive"}
    silent = probed.model_copy(update={"result": {**probed.result, "features": [first]}})
    card = made(atlas, [described, silent])[place(first)]
    assert (card.feature_class, card.rule) == ("", "")
    assert "fires most at" in card.told


def test_a_claim_about_a_supernode_says_which():
    assert _where({"supernode": "Texas", "features": ["1/37"]}) == "supernode Texas"


def test_arms_of_a_test_stand_behind_the_card(atlas, probed):
    one = probed.result["features"][0]
    mine = proposal(1, one["name"], (place(one),))
    arm = probed.model_copy(update={"id": "m-arm", "tool": "supernode_effect", "args": {"dictionary": "transcoders"}})
    key = arm_key(mine.prediction, mine.prediction.arms[0])
    tests = SealedTests((mine,), (judged(mine, "supported"),), {"probes": probed, key: arm})
    card = next(card for card in cards_of(atlas.key, "run-1", tests) if card.feature == place(one))
    assert card.measurements == (probed.id, "m-arm")


def test_a_card_is_told_in_plain_words_before_its_figures(atlas, probed, scored, tmp_path, capsys):
    one = next(
        one for one, s in zip(probed.result["features"], scored.result["features"], strict=True) if s["detection"]
    )
    mine = taken(proposal(1, one["name"], (place(one),)), "swap")
    card = made(atlas, [probed, scored], (mine,), (judged(mine, "supported"),))[place(one)]
    with Memory(tmp_path / "memory", HashingEmbedder()) as memory:
        memory.remember([card])
        (hit,) = memory.search(one["name"])
    _print(Console(soft_wrap=True), hit)
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].strip() == card.told
    assert "the name is confirmed" in shown[1]
    rest = "\n".join(shown[2:])
    assert "c1: supported, controlled" in rest
    assert f"detection {card.detection.score:.2f} (" in rest
    assert "by deterministic simulator" in rest
    assert rest.count("fires in") == 3
    assert card.reason in rest
    assert shown[-1].strip() == "run run-1"
    assert _told(card) == card.told


def test_a_card_with_hostile_text_shows_no_control_character(atlas, probed):
    card = made(atlas, [probed])[place(probed.result["features"][0])]
    hostile = card.model_copy(update={"contexts": ("\x1b[31m red \u202e",), "peaks": ("\x07",), "reason": "a\nb"})
    assert all(character.isprintable() for line in details(hostile) for character in line)
