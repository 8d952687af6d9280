import pytest
from vesalius.agent.chat.following import places_of, questions_for
from vesalius.tools import Row, TaskFamily, Template

DALLAS = "the capital of the state containing Dallas is"


def family(name: str, entity: str, answer: str, text: str, *rows: dict[str, str]) -> TaskFamily:
    made = tuple(Row(slots=row, split="train") for row in rows)
    templates = (Template(id="only", text=text),)
    return TaskFamily(
        name=name, description="", templates=templates, entity=entity, mediators=(), answer=answer, rows=made
    )


CAPITALS = family(
    "capitals",
    "city",
    "capital",
    "{city} is in a state whose capital is",
    {"city": "Albany", "capital": "Albany"},
    {"city": "Washington", "capital": "Nowhere"},
    {"city": "Utica", "capital": "Albany"},
)
STATES = family("states", "state", "capital", "{state} is ruled from", {"state": "Washington", "capital": "Olympia"})


def asked_of(tasks, prompt, answer):
    return places_of(tasks, prompt, answer)[0]


def test_another_city_gives_the_same_question_with_the_answer_of_its_own_row(atlas):
    asked = asked_of(atlas.tasks, DALLAS, "Austin")
    (found,) = questions_for(atlas.tasks, "Oakland", asked)
    assert found.question == (
        "Why does the model answer 'Sacramento' after 'the capital of the state containing Oakland is'?"
    )
    assert "city Oakland for Dallas" in found.because


def test_the_answer_comes_from_the_data_even_where_the_question_before_asked_for_a_wrong_one(atlas):
    asked = asked_of(atlas.tasks, DALLAS, "Boston")
    (found,) = questions_for(atlas.tasks, "oakland", asked)
    assert "'Sacramento'" in found.question


def test_a_word_of_another_kind_gives_only_questions_of_another_family(atlas):
    asked = asked_of(atlas.tasks, DALLAS, "Austin")
    (found,) = questions_for(atlas.tasks, "Texas", asked)
    assert found.question == "Why does the model answer 'Austin' after 'the capital of Texas is'?"
    assert not found.near


def test_without_a_question_before_a_city_of_two_families_can_mean_either(atlas):
    found = questions_for(atlas.tasks, "Oakland", None)
    assert {one.question.split("'")[1] for one in found} == {"Sacramento", "California"}


def test_a_word_that_is_city_and_state_means_the_city_after_a_question_about_a_city_and_either_without():
    asked = asked_of((CAPITALS, STATES), "Utica is in a state whose capital is", "Albany")
    (found,) = questions_for((CAPITALS, STATES), "Washington", asked)
    assert "'Nowhere'" in found.question
    assert len(questions_for((CAPITALS, STATES), "Washington", None)) == 2


def test_of_prompts_with_several_slots_those_come_that_change_nothing_else(atlas):
    ioi = next(f for f in atlas.tasks if f.name == "ioi")
    row = ioi.rows[0]
    prompt = ioi.templates[0].fill(row.slots)
    asked = asked_of(atlas.tasks, prompt, row.slots[ioi.answer])
    found = questions_for(atlas.tasks, ioi.rows[1].slots["io"], asked)
    assert len(found) > 1  # no row has just the name exchanged, so that it is not clear which is meant
    assert not any(one.near for one in found)


@pytest.mark.parametrize("word", ["Mordor", "", "Dallas"])
def test_a_word_that_the_data_lack_or_that_was_asked_gives_no_question_of_the_family(atlas, word):
    asked = asked_of(atlas.tasks, DALLAS, "Austin")
    assert not [one for one in questions_for(atlas.tasks, word, asked) if "two_hop" in one.because]
