"""Examples of JSON arguments: each is what the instrument takes."""

import json

import pytest
from pydantic import ValidationError
from vesalius.agent.commands.examples import example_of, may_hold
from vesalius.agent.commands.running import _text_of
from vesalius.tools import ToolError, get_tool, load_tools


def test_pairs_are_shown_with_every_field_that_they_must_have():
    model = load_tools()["patch"].args_model
    (pair,) = json.loads(example_of(model, "pairs"))
    assert set(pair) == {"base", "corrupted", "answer", "foil"}
    assert "base_entity" in may_hold(model, "pairs")


def test_plain_values_need_no_example():
    assert example_of(load_tools()["patch"].args_model, "seed") == ""


@pytest.mark.parametrize("tool", list(load_tools()))
def test_every_example_has_the_shape_that_the_instrument_takes(tool):
    model = load_tools()[tool].args_model
    shown = {field: example_of(model, field) for field in model.model_fields}
    for field, example in shown.items():
        if example:
            try:
                model.model_validate({field: json.loads(example)})
            except ValidationError as error:
                # Placeholders are no known words, but they are of the right type and nothing is missing in them.
                shape = ("missing", "extra_forbidden", "_type", "_parsing")
                wrong = [e for e in error.errors() if e["loc"][0] == field and e["type"].endswith(shape)]
                assert [e for e in wrong if len(e["loc"]) > 1 or e["type"] != "missing"] == []


def test_a_list_may_stand_in_a_file(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text('[{"base": "a", "corrupted": "b", "answer": "c", "foil": "d"}]')
    tool = get_tool("patch")
    assert _text_of(tool, "pairs", f"@{path}") == path.read_text()
    assert _text_of(get_tool("next_token"), "top_k", "@5") == "@5"
    with pytest.raises(ToolError, match="Name a JSON file as `@FILE`"):
        _text_of(tool, "pairs", f"@{tmp_path / 'nothing.json'}")
