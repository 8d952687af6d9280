"""Scores of names: names whose score is certain, scorers that know everything or nothing, and the control."""

import json

import pytest
from name_trials import SIMULATOR, TEN, reading
from probe_world import PROMPT, make_world
from pydantic import ValidationError
from vesalius.tools import Subject, ToolError, get_tool
from vesalius.tools._name_scores import BySimulator, Question
from vesalius.tools._name_simulator import Naming
from vesalius.tools._probe_contexts import looked_at
from vesalius.tools._probe_texts import ProbeMaker
from vesalius.tools._probe_tokens import function_words
from vesalius.tools.score_names import NameJudgement, ScoreNamesArgs, score_names

TEXAS = {"feature": "1/0", "name": "Texas", "group": "Semantic"}
# No city of Texas in them, which the simulator takes for Texas.
APART = tuple(text.replace("Dallas", "Dayton") for text in TEN)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Subject:
    return make_world(tmp_path_factory.mktemp("world"))


def scored(subject: Subject, *features: dict, **more):
    asked = {"features": features, "contexts": TEN, "neutral": 0, "fewest": 2, **more}
    return score_names(subject, ScoreNamesArgs.model_validate(asked))


def named(feature: str, name: str, group: str = "Semantic") -> dict:
    return {"feature": feature, "name": name, "group": group}


def test_a_name_that_is_true_scores_one_and_its_limits_are_exact(world):
    result = scored(world, TEXAS, contexts=APART)
    (one,) = result.features
    assert (one.n_firing, one.n_silent, one.not_scored) == (5, 5, "")
    assert (one.detection.score, one.detection.hits, one.detection.rejections, one.detection.n) == (1, 1, 1, 10)
    assert (one.detection.low, one.detection.high) == (pytest.approx(0.025 ** (1 / 10)), 1)
    assert (one.fuzzing.score, one.fuzzing.n) == (1, 4)  # of five firing contexts two are marked rightly, two wrongly
    assert (result.simulator, result.scorer, result.n_contexts, result.n_neutral) == ("deterministic", "", 10, 0)


def test_a_name_that_is_half_true_scores_what_was_worked_by_hand(world):
    (one,) = scored(world, named("1/0", "Dallas"), per_kind=5).features
    assert (one.detection.hits, one.detection.rejections) == (pytest.approx(2 / 5), pytest.approx(1 / 5))
    assert one.detection.score == pytest.approx(3 / 10)
    assert one.fuzzing.hits == 0


def test_a_value_that_no_prompt_shows_is_looked_for_at_its_entities_too(world):
    """So `Texas` is taken to fire at Dallas, which this feature does not: four of five others are called wrongly."""
    (one,) = scored(world, TEXAS, per_kind=5).features
    assert (one.detection.hits, one.detection.rejections) == (1, pytest.approx(1 / 5))


def test_a_name_that_says_nothing_scores_a_half(world):
    for name, group in (("Lima", "Semantic"), ("Say (?)", "Say X"), ("(?) related", "Relationship")):
        (one,) = scored(world, named("1/0", name, group)).features
        assert (one.detection.score, one.detection.hits, one.detection.rejections) == (0.5, 0, 1)
        assert (one.fuzzing.score, one.fuzzing.hits, one.fuzzing.rejections) == (0.5, 0, 1)


def test_a_feature_that_fires_on_everything_or_nothing_is_said_so_and_not_scored(world):
    odd = (named("1/2", "Dallas"), named("1/5", "unused"), named("0/0", ""))
    result = scored(world, TEXAS, *odd, contexts=APART)
    texas, everywhere, nowhere = (
        next(f for f in result.features if (f.layer, f.feature) == which) for which in ((1, 0), (1, 2), (1, 5))
    )
    assert (everywhere.n_firing, everywhere.n_silent) == (10, 0)
    assert everywhere.not_scored == (
        "detection: fires in 10 contexts, not in 0; 2 of each due; fuzzing: 0 contexts can be marked wrongly; 4 are due"
    )
    assert (nowhere.n_firing, nowhere.detection, nowhere.fuzzing) == (0, None, None)
    assert result.features[0].not_scored == "it has no name"
    assert texas.detection.permuted is None
    assert (result.detection.n_features, result.detection.value) == (1, 1)
    assert (result.detection.permuted, result.detection.p) == (None, None)


def test_where_nothing_can_be_scored_there_is_no_mean(world):
    result = scored(world, named("1/5", "unused"))
    assert (result.detection, result.fuzzing, result.n_questions) == (None, None, 0)


def test_contexts_fire_where_another_instrument_lists_activations(atlas):
    """Second road: `describe_feature` on the same texts."""
    contexts = list(atlas.texts[:60])
    describing, names = get_tool("describe_feature"), ["0/76", "1/276", "2/245"]
    result = scored(atlas, *(named(one, "state") for one in names), contexts=contexts)
    for one in result.features:
        asked = describing.parse({"feature": f"{one.layer}/{one.feature}", "texts": contexts, "top_k": 100})
        found = describing(atlas, asked)
        skip = 1 if atlas.reader.encode("state")[0] in atlas.reader.special_ids else 0
        fires = [context.text for context in found.contexts if max(context.activations[skip:]) > 0]
        assert len(fires) < 100, "all of them are listed"
        assert (one.n_firing, one.n_silent) == (len(fires), len(set(contexts)) - len(fires))
        holds = [" state " in f" {text} " for text in fires]
        assert one.detection.hits in {k / (one.detection.n // 2) for k in range(sum(holds) + 1)}


def test_weak_firing_can_be_left_out(world):
    """1/2 is 1 at every token, 1.5 at Dallas, 1.2 at Texas."""
    (one,) = scored(world, named("1/2", "Dallas"), fires_above=0.9).features
    assert (one.n_firing, one.n_silent) == (6, 4)
    assert (one.detection.score, one.fuzzing.score) == (1, 1)


def asked(world, *features, **more):
    return scored(world, *features, list_questions=True, permutations=20, **more).questions


def answered(world, questions, answer, *features, **more):
    given = [{"question": q.id, "answer": answer(q)} for q in questions]
    return scored(world, *features, permutations=20, judgements=given, scorer="someone", **more)


def knows_texas(question) -> bool:
    if question.kind == "detection":
        return "Texas" in question.text
    return "<<" in question.text and "Texas" in question.text.split("<<", 1)[1].split(">>")[0]


def test_who_knows_scores_one_who_lies_nothing_and_who_always_says_the_same_a_half(world):
    questions = asked(world, TEXAS)
    for answer, due in (
        (knows_texas, 1),
        (lambda q: not knows_texas(q), 0),
        (lambda q: True, 0.5),
        (lambda q: False, 0.5),
    ):
        result = answered(world, questions, answer, TEXAS)
        assert (result.features[0].detection.score, result.features[0].fuzzing.score) == (due, due)
        assert (result.simulator, result.scorer) == ("judgements", "someone")


def test_the_simulators_own_answers_given_as_judgements_change_nothing(world):
    features = (TEXAS, named("1/1", "Say (Texas)", "Say X"), named("1/4", "state"))
    simulated = scored(world, *features, permutations=20)
    questions = asked(world, *features)
    by_text = {}
    read = {one.text: one for one in reading(world, *TEN)}
    for one in questions:
        plain = one.text.replace("<<", "").replace(">>", "")
        line = read[plain]
        marked, place = [], 0
        inside = False
        for token in one.text.replace("<<", " << ").replace(">>", " >> ").split():
            if token in ("<<", ">>"):
                inside = token == "<<"
            else:
                marked += [place] if inside else []
                place += 1
        by_text[one.id] = BySimulator(SIMULATOR).says(
            Question(one.kind, Naming(one.name, one.group), line, tuple(marked), one.text)
        )
    judged = answered(world, questions, lambda q: by_text[q.id], *features)
    assert judged.features == simulated.features
    assert (judged.detection, judged.fuzzing) == (simulated.detection, simulated.fuzzing)


def test_a_question_tells_neither_the_feature_nor_what_is_right(world):
    questions = asked(world, TEXAS, named("1/4", "state"))
    assert {key for one in questions for key in one.model_dump()} == {"id", "kind", "name", "group", "text"}
    assert [one.id for one in questions] == sorted(one.id for one in questions)
    assert len({one.id for one in questions}) == len(questions)
    detection = [one for one in questions if one.kind == "detection"]
    assert {one.text for one in detection} <= set(TEN)
    # Both names are asked of contexts of both features: which contexts a name comes with says nothing of it.
    assert {one.name for one in detection} == {"Texas", "state"}
    assert scored(world, TEXAS).questions == ()


def test_equal_names_permuted_are_the_same_names(world):
    result = scored(world, TEXAS, named("1/4", "Texas"))
    assert result.detection.permuted == pytest.approx(result.detection.value)
    assert result.detection.p == 1


def test_names_that_are_true_beat_permuted_ones(world):
    features = (TEXAS, named("1/1", "is of in"), named("1/4", "capital state lies"))
    result = scored(world, *features, permutations=500)
    assert result.detection.value > result.detection.permuted_high - 1e-9
    assert result.detection.permuted < 0.8
    assert result.detection.p < 0.25  # of six orders one is the true one


def test_what_names_were_made_from_is_no_context(world):
    assert scored(world, TEXAS, contexts=(), neutral=10).n_neutral == 4  # one of five has a zebra in it
    assert scored(world, TEXAS, contexts=(), neutral=10, seen=("the state of Texas",)).n_neutral == 3
    assert scored(world, TEXAS, contexts=(), neutral=2).n_neutral == 2
    assert scored(world, TEXAS, contexts=("the state of Texas",), neutral=10).n_neutral == 3
    for seed in range(5):
        # As `probe_prompts` would: target and number of probes have no part in it.
        sought = looked_at(ProbeMaker(world, PROMPT, "Austin", seed, function_words("en"), 9, 8))
        assert sought
        assert not any({"Waco", "Lima"} & set(text.split()) for text in sought)
        found = scored(world, TEXAS, contexts=(), neutral=10, prompt=PROMPT, naming_seed=seed)
        assert found.n_neutral == 4 - len(sought)


def test_one_context_given_twice_is_one(world):
    assert scored(world, TEXAS, contexts=(*TEN, *TEN)) == scored(world, TEXAS)


def test_the_seed_draws_the_contexts(world):
    one, same, *others = (scored(world, named("1/0", "Dallas"), per_kind=2, seed=seed) for seed in (0, 0, 1, 2, 3, 4))
    assert one == same
    assert any(one.features != other.features for other in others)


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"features": ()}, "at least 1"),
        ({"features": (TEXAS, TEXAS)}, "Give each feature one name"),
        ({"features": (named("1", "x"),)}, "LAYER/FEATURE, for example"),
        ({"features": (named("1/0", "x" * 501),)}, "at most 500"),
        ({"features": (named("1/0", "x", "Happy"),)}, "Input should be 'Semantic'"),
        ({"contexts": ()}, "Pass some in `contexts`"),
        ({"contexts": ("a zebra in Texas",)}, "Use words the model knows"),
        ({"contexts": TEN, "seen": TEN[3:4]}, "other texts than those in `seen`"),
        ({"language": "xx"}, "Languages: de, en"),
        ({"dictionary": "absent"}, "vesalius dictionary train"),
        ({"judgements": [{"question": "0" * 16, "answer": True}]}, "go together"),
        ({"scorer": "someone"}, "go together"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_mend(world, change, mend):
    tool = get_tool("score_names")
    with pytest.raises(ToolError, match=mend):
        tool(world, tool.parse({"features": (TEXAS,), "contexts": TEN, "neutral": 0, **change}))


@pytest.mark.parametrize("spoil", ["missing", "strange", "twice", "other name"])
def test_judgements_that_do_not_answer_the_questions_are_refused(world, spoil):
    questions = asked(world, TEXAS)
    given = [{"question": one.id, "answer": True} for one in questions]
    if spoil == "missing":
        given = given[1:]
    elif spoil == "strange":
        given = [*given, {"question": "0" * 16, "answer": True}]
    elif spoil == "twice":
        given = [*given, {**given[0], "answer": False}]
    feature = named("1/0", "Ohio") if spoil == "other name" else TEXAS
    with pytest.raises(ToolError, match=r"answer each of its questions|Give each question one answer"):
        scored(world, feature, permutations=20, judgements=given, scorer="someone")


@pytest.mark.parametrize(
    "odd", [{"answer": "yes"}, {"answer": 1}, {"answer": None}, {"question": "../x"}, {"note": "supported"}]
)
def test_an_answer_is_a_bare_yes_or_no(odd):
    with pytest.raises(ValidationError):
        NameJudgement.model_validate({"question": "0" * 16, "answer": True, **odd})
    with pytest.raises(ValidationError):
        NameJudgement.model_validate_json(json.dumps({"question": "0" * 16, "answer": True, **odd}))
    assert NameJudgement.model_validate_json(json.dumps({"question": "0" * 16, "answer": False})).answer is False


def test_probed_names_of_the_reference_model_are_scored_on_held_out_probes(atlas):
    """The whole road on plain data, and the same digest each time."""
    probing, tool = get_tool("probe_prompts"), get_tool("score_names")
    asked = {"prompt": "the capital of the state containing Dallas is", "target": "Austin"}
    found = probing.measure(atlas, probing.parse(asked)).result
    args = {
        "features": [named(f"{f['layer']}/{f['feature']}", f["name"], f["group"]) for f in found["features"]],
        "contexts": [probe["text"] for probe in found["probes"] if probe["held_out"]],
        "seen": [probe["text"] for probe in found["probes"] if not probe["held_out"]],
        "prompt": asked["prompt"],
        "permutations": 1,
        "per_kind": 5,
        "neutral": 100,
    }
    one, other = (tool.measure(atlas, tool.parse(args)) for _ in range(2))
    assert one.digest == other.digest
    result = tool.result_model.model_validate(one.result)
    assert result.model_dump(mode="json") == one.result
    assert result.detection.n_features >= 5
    for feature in result.features:
        for score in (feature.detection, feature.fuzzing):
            assert score is None or score.low <= score.score <= score.high
