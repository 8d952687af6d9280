"""The language of compiled circuits: what it refuses, what it reads off a program, where it places it."""

import random

import pytest
from vesalius.evals.organisms._compile_place import lay_out, true_links
from vesalius.evals.organisms._compile_program import (
    NUMBER,
    POSITIONS,
    TOKENS,
    Attend,
    Channel,
    Lookup,
    Output,
    Pieces,
    Program,
    kept,
    said_as_is,
)

WORDS = ("red", "blue", "warm", "cold")
FEEL = Lookup("feel", (TOKENS,), {("red",): "warm", ("blue",): "cold"})
BACK = Attend("back", kept(("warm", "cold")), "feel", POSITIONS, POSITIONS, tuple((str(i), "0") for i in range(4)))
DECOY = Attend("decoy", kept(("red",)))
SAYS = Output("back", said_as_is(("warm", "cold")))


def program(*operations, outputs=(SAYS,), words=WORDS, **kwargs):
    return Program(words, 4, operations or (FEEL, BACK, DECOY), outputs, **kwargs)


def test_a_name_made_twice_is_refused():
    with pytest.raises(ValueError, match="a name of its own"):
        program(FEEL, BACK, Lookup("feel", (TOKENS,), {("red",): "cold"}))


def test_reading_what_nothing_made_before_is_refused():
    with pytest.raises(ValueError, match="Order the operations by what they read"):
        program(BACK, FEEL)


def test_a_label_that_a_variable_lacks_is_refused_with_those_it_has():
    with pytest.raises(ValueError, match=r"'green' of `tokens`.*Labels: red, blue, warm, cold"):
        program(Lookup("feel", (TOKENS,), {("green",): "warm"}), BACK)


def test_a_number_where_a_distribution_stands_is_refused():
    with pytest.raises(ValueError, match="'#' of `feel`"):
        program(FEEL, BACK, Pieces("piece", {"feel": 1.0}, ((0.0, "warm"), (1.0, "cold"))))


def test_saying_a_word_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="Say words of the vocabulary"):
        program(outputs=(Output("back", {"warm": (("hot", 1.0),)}),))
    with pytest.raises(ValueError, match="Say words of the vocabulary"):
        program(otherwise={"nothing": 0.5})


def test_a_word_listed_twice_is_refused():
    with pytest.raises(ValueError, match="List each once"):
        program(words=(*WORDS, "red"))


def test_what_the_output_does_not_depend_on_is_a_decoy():
    assert program().used == {"feel", "back"}


def test_what_depends_on_positions_alone_does_not_vary():
    where = Attend("where", {"0": (NUMBER[0], 1.0)}, value=POSITIONS)
    found = program(FEEL, BACK, where)
    assert not found.varies("where")
    assert found.varies("back")


def test_links_are_read_off_the_program_without_positions_and_decoys():
    layout = lay_out(program(), 4, 3, random.Random(0))
    feel, back = layout.places["feel"], layout.places["back"]
    assert true_links(program(), layout) == {
        ("embed", f"mlp_in.{feel.layer}"),
        (feel.node, f"v.{back.layer}.{back.head}"),
        (back.node, "logits"),
    }


@pytest.mark.parametrize("seed", range(20))
def test_every_operation_stands_behind_what_it_reads(seed):
    asked = program(FEEL, BACK, DECOY, Lookup("again", ("back",), {("warm",): "red"}))
    layout = lay_out(asked, 2, 4, random.Random(seed))

    def stage(name):
        place = layout.places[name]
        return 2 * place.layer + (place.head is None)

    assert stage("feel") < stage("back") < stage("again") < 2 * layout.n_layers
    heads = [(p.layer, p.head) for p in layout.places.values() if p.head is not None]
    assert len(set(heads)) == len(heads)


@pytest.mark.parametrize("seed", range(20))
def test_a_dormant_channel_stands_in_another_mlp_than_the_one_it_would_move(seed):
    sign = Attend("sign", {"red": (NUMBER[0], 1.0), "blue": (NUMBER[0], -1.0)})
    asked = program(sign, Channel("true", "sign", 8), Channel("trap", "sign", 8, 2.0, "true"), outputs=())
    places = lay_out(asked, 2, 1, random.Random(seed)).places
    assert places["true"].layer != places["trap"].layer


def test_the_text_names_every_operation():
    assert program().text().splitlines() == [
        "feel = table[tokens]",
        "back = average(select(positions == positions), feel)",
        "decoy = average(all before, tokens)",
        "answer = back",
    ]
