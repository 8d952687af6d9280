"""Task data beside a model: prompts and the rows that make them, files that hold something else."""

import json

import pytest
from pydantic import ValidationError
from vesalius.tools import Row, TaskFamily, Template, ToolError
from vesalius.tools._tasks import load_tasks, load_texts

FAMILY = TaskFamily(
    name="capital",
    description="Which city governs a state.",
    templates=(Template(id="a", text="the capital of {state} is"), Template(id="b", text="{state}, ruled from")),
    entity="state",
    mediators=(),
    answer="capital",
    rows=(
        Row(slots={"state": "Texas", "capital": "Austin"}, split="train"),
        Row(slots={"state": "New York", "capital": "Albany"}, split="held_out"),
    ),
)


@pytest.mark.parametrize("row", FAMILY.rows)
@pytest.mark.parametrize("template", FAMILY.templates)
def test_a_prompt_is_found_again_by_its_template_and_row(template, row):
    assert FAMILY.match(f" {template.fill(row.slots)} ") == (template, row)
    assert template.slots == ("state",)


@pytest.mark.parametrize(
    "prompt", ["", "the capital of Ohio is", "the capital of Texas", "the capital of Texas is big"]
)
def test_another_prompt_is_of_no_family(prompt):
    assert FAMILY.match(prompt) is None


def test_every_shipped_prompt_is_matched_with_its_answer(atlas):
    for family in atlas.tasks:
        for template in family.templates:
            for row in family.rows[::20]:
                found = family.match(template.fill(row.slots))
                assert found is not None
                assert found[1].slots[family.answer] == row.slots[family.answer]


def test_what_is_written_is_read_and_what_is_absent_is_empty(tmp_path):
    assert (load_tasks(tmp_path), load_texts(tmp_path)) == ((), ())
    (tmp_path / "tasks.json").write_text(json.dumps({"families": [FAMILY.model_dump(mode="json")]}))
    (tmp_path / "text.json").write_text(json.dumps({"texts": ["one", "two"]}))
    assert (load_tasks(tmp_path), load_texts(tmp_path)) == ((FAMILY,), ("one", "two"))


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"families": [{"name": "x"}], "texts": [7]}'])
def test_a_file_of_something_else_is_refused_with_the_mend(tmp_path, content):
    for name, load in (("tasks.json", load_tasks), ("text.json", load_texts)):
        (tmp_path / name).write_text(content)
        with pytest.raises(ToolError, match=rf"Write it as the {name} of a reference model"):
            load(tmp_path)


@pytest.mark.parametrize(
    ("template", "slots", "problem"),
    [
        ("{state:>999999999}", {}, "has a format"),
        ("{state!r}", {}, "has a format"),
        ("{state.__class__}", {}, "not plain words"),
        ("{state", {}, "'}'"),
        ("{town} is", {}, "lacks town"),
        ("{state}", {"capital": None}, "lacks capital"),
        ("{<b>x</b>}", {"<b>x</b>": "y"}, "not plain words"),
    ],
)
def test_templates_that_rows_cannot_fill_or_that_ask_for_more_than_a_value_are_refused(template, slots, problem):
    row = {"state": "Texas", "capital": "Austin"} | slots
    row = {name: value for name, value in row.items() if value is not None}
    data = FAMILY.model_dump(mode="json") | {
        "templates": [{"id": "a", "text": template}],
        "rows": [{"slots": row, "split": "train"}],
    }
    with pytest.raises(ValidationError, match=problem):
        TaskFamily.model_validate(data)
