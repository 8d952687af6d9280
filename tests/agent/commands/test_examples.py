"""Examples of JSON arguments: each is what the instrument takes."""

import json

import pytest
from pydantic import ValidationError
from vesalius.agent.commands.examples import example_of, may_hold
from vesalius.agent.commands.running import _given, _object
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
    assert _given(tool, "pairs", f"@{path}") == json.loads(path.read_text())
    assert _given(get_tool("next_token"), "top_k", "@5") == "@5"
    assert _given(tool, "value", "class_mean") == "class_mean"
    with pytest.raises(ToolError, match="Name a JSON file as `@FILE`"):
        _given(tool, "pairs", f"@{tmp_path / 'nothing.json'}")
    path.write_text("no JSON")
    with pytest.raises(ToolError, match=r"is no JSON.*Write it as \["):
        _given(tool, "pairs", f"@{path}")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000])
def test_json_that_python_cannot_read_is_refused_with_the_mend(text):
    with pytest.raises(ToolError, match="Nest less"):
        _given(get_tool("patch"), "pairs", text)
    with pytest.raises(ToolError, match="Nest less"):
        _object(f'{{"pairs": {text}')
