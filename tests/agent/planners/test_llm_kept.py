"""What a language model wrote may not tell what is kept back to confirm."""

import pytest
from vesalius.agent.planners._supernode_prompts import Setting
from vesalius.agent.planners.llm_kept import Kept

PROMPT = "the capital of the state containing Dallas is"


@pytest.fixture(scope="module")
def setting(atlas) -> Setting:
    return Setting(atlas.tasks, atlas.tasks[0], PROMPT, 0)


@pytest.fixture(scope="module")
def kept(setting) -> Kept:
    return Kept(setting)


def test_entities_that_confirm_may_not_be_named_and_those_that_explore_may(setting, kept):
    family = setting.asked
    back, seen = ({row.slots["city"] for row in setting.rows(family, phase)} for phase in ("kept back", "seen"))
    assert len(back) > len(seen) > 0
    assert all(kept.tells(f"people like {city} because") for city in back)
    assert all(kept.tells(f"people like {city.lower()} because") for city in back)
    assert not any(kept.tells(f"people like {city} because") for city in seen)
    assert not kept.tells(f"{PROMPT} Austin")


def test_an_entity_within_another_word_is_not_named(setting, kept):
    city = next(row.slots["city"] for row in setting.rows(setting.asked, "kept back"))
    assert not kept.tells(f"people like {city}ville because")


def test_a_text_that_begins_as_a_kept_prompt_does_is_told_too(setting, kept):
    (template, *_) = setting.templates(setting.asked, "kept back")
    row = setting.asked.match(PROMPT)[1]
    prompt = template.fill(row.slots)
    assert kept.tells(f"{prompt} Austin")
    assert kept.tells(f"  {prompt}  Austin".replace(" ", "  "))
    assert not kept.tells(f"like {prompt} Austin")


def test_without_task_data_nothing_is_kept():
    kept = Kept(None)
    assert (kept.words, kept.tells("Houston lies in Texas")) == (frozenset(), False)
