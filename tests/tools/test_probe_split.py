"""The split into naming and held-out probes: both for each concept, other wordings, and the same for equal seeds."""

import random

import pytest
from hypothesis import given, settings, strategies as st
from vesalius.tools._probe_split import Worded, n_shared, split, split_digest, worded
from vesalius.tools._probe_texts import Probe
from vesalius.tools._tasks import Row, TaskFamily, Template

PLAN = {"Texas": 9, "Ohio": 6, "Iowa": 3, "Utah": 2, "Maine": 1}


def crossed(n_wordings: int = 9) -> list[Worded]:
    """Each concept in as many of the same wordings as it has probes."""
    return [Worded(f"{c} in {i}", c, f"w{i % n_wordings}") for c, n in PLAN.items() for i in range(n)]


def sides(probes: list[Worded], held: tuple[bool, ...], concept: str) -> list[bool]:
    return [mark for one, mark in zip(probes, held, strict=True) if one.concept == concept]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_every_concept_of_two_probes_or_more_has_both_kinds_in_wordings_of_their_own(share, seed):
    probes = crossed()
    held = split(probes, share, seed)
    for concept, n in PLAN.items():
        assert set(sides(probes, held, concept)) == ({True, False} if n > 1 else {False})
    assert n_shared(probes, held) == 0


def test_the_share_that_is_held_out_is_the_one_asked_for_where_wordings_leave_a_choice():
    probes = [Worded(f"{c} {i}", c, f"{c} {i}") for c, n in PLAN.items() for i in range(n)]
    assert [sum(sides(probes, split(probes, 0.3, 0), c)) for c in PLAN] == [3, 2, 1, 1, 0]
    assert [sum(sides(probes, split(probes, 0.5, 0), c)) for c in PLAN] == [4, 3, 2, 1, 0]


def test_nothing_is_held_out_where_nothing_is_asked_for():
    assert not any(split(crossed(), 0.0, 3))


def test_one_wording_for_all_leaves_each_concept_both_kinds_and_is_counted_as_shared():
    probes = crossed(n_wordings=1)
    held = split(probes, 0.3, 0)
    assert {c: set(sides(probes, held, c)) for c in ("Texas", "Utah")} == {
        "Texas": {True, False},
        "Utah": {True, False},
    }
    assert n_shared(probes, held) == sum(held) == 7


def test_texts_that_were_seen_are_never_held_out_and_their_wording_only_for_want_of_another():
    probes = crossed()
    for seed in range(10):
        held = split(probes, 0.5, seed, seen=["Texas in 0", "Utah in 1"])
        marked = {one.text for one, mark in zip(probes, held, strict=True) if mark and one.wording in ("w0", "w1")}
        assert marked == {"Utah in 0"}  # Utah has no third wording


def test_a_concept_of_seen_texts_alone_keeps_them_all_for_naming():
    probes = [Worded("a", "Texas", "a"), Worded("b", "Texas", "b")]
    assert split(probes, 0.5, 0, seen=["a", "b"]) == (False, False)
    assert split(probes, 0.5, 0, seen=["a"]) == (False, True)


def test_the_seed_alone_decides_and_not_the_order_of_the_probes():
    probes = crossed()
    assert split(probes, 0.3, 4) == split(probes, 0.3, 4)
    assert len({split(probes, 0.3, seed) for seed in range(8)}) > 1
    mixed = random.Random(1).sample(probes, len(probes))
    by_text = dict(zip((one.text for one in mixed), split(mixed, 0.3, 4), strict=True))
    assert tuple(by_text[one.text] for one in probes) == split(probes, 0.3, 4)
    digests = [split_digest(p, split(p, 0.3, 4)) for p in (probes, mixed)]
    assert digests[0] == digests[1] != split_digest(probes, split(probes, 0.3, 5))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("uvwxyz")), min_size=1, max_size=25),
    st.floats(0.01, 0.5),
    st.integers(0, 100),
)
def test_any_probes_are_split_with_something_left_to_name_each_concept_by(pairs, share, seed):
    probes = [Worded(str(i), concept, wording) for i, (concept, wording) in enumerate(pairs)]
    held = split(probes, share, seed)
    for concept in {one.concept for one in probes}:
        marks = sides(probes, held, concept)
        assert set(marks) == ({True, False} if len(marks) > 1 else {False})


def family() -> TaskFamily:
    return TaskFamily(
        name="hop",
        description="",
        templates=(
            Template(id="of", text="the state of {city} is"),
            Template(id="echo", text="{a} {city} {a}"),
            Template(id="any", text="{city} {a}"),
        ),
        entity="city",
        mediators=(),
        answer="state",
        rows=(Row(slots={"city": "Waco", "a": "x", "state": "Texas"}, split="train"),),
    )


@pytest.mark.parametrize(
    ("text", "wording"),
    [
        ("the state of Waco is", "hop/of"),
        ("the state of Waco is Texas", "hop/of"),  # with the answer behind it
        ("the state of Fort Worth is New Mexico", "hop/of"),
        ("the state of Waco was Texas", "the state of _ was texas"),
        ("red Waco red", "hop/echo"),
        ("red Waco blue", "red _ blue"),  # a slot that stands twice has one value, and `any` would make any text
        ("Waco,  Waco", "_, _"),
        ("Wacoans", "wacoans"),
    ],
)
def test_a_wording_is_the_template_that_makes_a_text_or_the_text_less_its_concept(text, wording):
    (one,) = worded([Probe(text=text, concept="Waco")], [family()])
    assert one.wording == wording


def test_a_template_that_is_known_is_not_guessed():
    (one,) = worded([Probe(text="the state of Waco is", concept="Waco", template="hop/other")], [family()])
    assert one.wording == "hop/other"
