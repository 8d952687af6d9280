"""Names by a shared value and by the next word, worked by hand."""

import pytest
from vesalius.tools import Row, TaskFamily, Template, exploring_entities, kept_wordings
from vesalius.tools._probe_groups import PUBLISHED, FeatureMetrics, Reading, Thresholds
from vesalius.tools._probe_readings import following
from vesalius.tools._probe_values import decided, values_of
from vesalius.tools._tasks import n_exploring

CITIES = {"Dallas": "Texas", "Odessa": "Texas", "Waco": "Texas", "Macon": "Georgia", "Athens": "Georgia"}
CAPITALS = {"Texas": "Austin", "Georgia": "Atlanta"}


def family(cities: dict[str, str] = CITIES, mediated: bool = True, held_out: tuple[str, ...] = ()) -> TaskFamily:
    return TaskFamily(
        name="capitals",
        description="",
        templates=(Template(id="plain", text="the capital of the state of {city} is"),),
        entity="city",
        mediators=("state",) if mediated else (),
        answer="capital" if mediated else "state",
        rows=tuple(
            Row(
                slots={"city": city, "state": state, "capital": CAPITALS.get(state, state)},
                split="held_out" if city in held_out else "train",
            )
            for city, state in cities.items()
        ),
    )


def peak(word: str, height: float, behind: str = "") -> Reading:
    shape = {"probe": 0, "position": 1, "sparsity": 0.9, "density": 0.1, "functional": False, "target": None}
    return Reading.model_validate(shape | {"token": word, "peak": height, "following": behind})


def metrics(n: int, distinct: int = 3) -> FeatureMetrics:
    return FeatureMetrics(
        n_active=n,
        peak_consistency=0.9,
        distinct_peaks=distinct,
        functional_share=0.0,
        functional_vs_semantic=-100.0,
        sparsity=0.9,
    )


def named(*readings: Reading, layer: int = 3, distinct: int = 3, t: Thresholds | None = None) -> tuple[str, str, str]:
    strongest = {one.token.strip().lower(): one.peak for one in sorted(readings, key=lambda one: one.peak)}
    return named_from(readings, strongest, layer, distinct, t)


def named_from(
    readings: tuple[Reading, ...],
    strongest: dict[str, float],
    layer: int = 3,
    distinct: int = 3,
    t: Thresholds | None = None,
) -> tuple[str, str, str]:
    values = values_of([family()])
    found = decided(metrics(len(readings), distinct), readings, strongest, layer, 4, values, t or Thresholds())
    return found.decision.group, found.decision.rule, found.name


def test_words_have_the_value_that_three_entities_share():
    assert values_of([family()]) == {city: frozenset({"Texas"}) for city in ("dallas", "odessa", "waco")}
    assert values_of([family(mediated=False)])["waco"] == {"Texas"}
    assert values_of([family({"hot": "cold", "big": "small"}, mediated=False)]) == {}


def test_a_feature_is_named_after_the_value_of_most_of_its_peaks():
    assert named(peak(" Dallas", 3), peak("Odessa", 2), peak("Macon", 4)) == ("Semantic", "shared value", "Texas")
    # 5 of 10.1 is less than a half, and so is no name.
    assert named(peak("Dallas", 3), peak("Odessa", 2), peak("Macon", 5.1))[1] != "shared value"


def test_a_feature_that_leaves_out_a_word_of_the_value_is_not_named_after_it():
    readings = peak("Dallas", 4), peak("Odessa", 3)
    seen = {"dallas": 4.0, "odessa": 3.0, "macon": 0.0}
    assert named_from(readings, seen)[2] == "Texas"
    # Waco stands in the probes, and the feature hardly fires there: under half of its strongest.
    assert named_from(readings, seen | {"waco": 2.0})[2] == "Texas"
    assert named_from(readings, seen | {"waco": 1.9})[1] != "shared value"
    assert named_from(readings, seen | {"waco": 0.0}, t=Thresholds(value_evenness=0))[2] == "Texas"


def test_one_word_alone_shows_no_value():
    assert named(peak("Dallas", 3), peak("Dallas", 2))[1] != "shared value"
    assert named(peak("Dallas", 3), peak("Odessa", 2), distinct=1)[1] == "dictionary"


def test_a_feature_says_the_word_that_follows_most_of_its_peaks():
    found = named(peak("is", 3, "Austin"), peak("called", 2, "Austin"), peak("of", 4, "Atlanta"))
    assert found == ("Say X", "next word", "Say (Austin)")
    assert named(peak("is", 3, "Austin"), peak("called", 2, "Austin"), peak("of", 5.1, "Atlanta"))[1] != "next word"
    assert named(peak("is", 3, "Austin"), peak("is", 2, "Austin"))[1] != "next word"  # one wording, any answer


def test_early_layers_say_nothing():
    readings = peak("is", 3, "Austin"), peak("called", 2, "Austin")
    assert named(*readings, layer=2)[1] == "next word"  # 2 of 4 is at least 7 of 26
    assert named(*readings, layer=1)[1] != "next word"


def test_a_shared_value_comes_before_a_next_word():
    assert named(peak("Dallas", 3, "is"), peak("Odessa", 2, "is"))[2] == "Texas"


def test_the_published_rules_know_neither():
    readings = peak("Dallas", 3, "is"), peak("Odessa", 2, "is")
    assert named(*readings, t=PUBLISHED)[1:] == ("early layer", "")
    assert decided(metrics(0), (), {}, 3, 4, {}, Thresholds()).decision.rule == "inactive"


@pytest.mark.parametrize(
    ("units", "place", "due"),
    [
        (("is", "Austin"), 0, "Austin"),
        (("Tuscaloosa", "Tuscaloosa", " is"), 0, "is"),  # two tokens of one word
        (("is", "Austin"), 1, ""),
        (("Austin", "."), 0, ""),
    ],
)
def test_what_follows_is_the_next_word(units, place, due):
    assert following(units, place) == due


@pytest.mark.parametrize(("n", "due"), [(1, 1), (2, 1), (5, 2), (6, 3), (10, 3), (12, 5), (30, 15)])
def test_enough_entities_are_left_to_confirm(n, due):
    assert n_exploring(n) == due


def test_entities_that_training_held_out_are_kept_back_first_and_the_asked_one_comes_before_all():
    cities = {f"city{i}": "Texas" for i in range(10)} | {"Macon": "Georgia"}
    held_out = tuple(f"city{i}" for i in range(6))
    for seed in range(5):
        plain = exploring_entities([family(cities, held_out=held_out)], seed)
        assert len(plain) == 4
        assert "Macon" in plain
        assert not plain & set(held_out)
        asked = exploring_entities([family(cities, held_out=held_out)], seed, "city1")
        assert "city1" in asked
        assert len(asked) == 4
        assert asked - {"city1"} < plain
        for one in plain:  # of those that explore anyway: nothing changes
            assert exploring_entities([family(cities, held_out=held_out)], seed, one) == plain
    drawn = {exploring_entities([family(cities)], seed) for seed in range(5)}
    assert len(drawn) > 1


def test_a_family_with_one_entity_per_answer_gives_back_none_that_another_keeps():
    names = {f"name{i}": "man" for i in range(10)}
    single = family({f"name{i}": f"name{i}" for i in range(10)}, mediated=False)
    assert exploring_entities([family(names, mediated=False), single], 0) == exploring_entities(
        [family(names, mediated=False)], 0
    )
    assert len(exploring_entities([single], 0)) == 10


def test_some_wordings_are_kept_back_but_never_the_first_or_the_only_one():
    templates = tuple(Template(id=str(i), text=f"word{i} {{city}}") for i in range(5))
    for n, due in ((1, 0), (2, 1), (3, 1), (5, 1)):
        kept = kept_wordings(family().model_copy(update={"templates": templates[:n]}), 0)
        assert len(kept) == due
        assert "0" not in kept
