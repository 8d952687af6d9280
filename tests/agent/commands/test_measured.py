"""`vesalius run TOOL`: what was found comes first, then the strongest of it; the whole is kept, or printed as JSON."""

import json
import re
import sys
from pathlib import Path

import pytest
from causal_measurements import ARGS, changed, measured
from vesalius.agent.commands import running
from vesalius.agent.commands.kept import find_measurement, keep_alone
from vesalius.agent.commands.measured import MOST_ROWS, print_measurement
from vesalius.agent.commands.running import run_command
from vesalius.agent.commands.strongest import _BY_TOOL, _LISTS, cell_text, strongest_of
from vesalius.agent.headlines import headline
from vesalius.agent.report.figures import render_plain
from vesalius.agent.runs import UnreadableFile
from vesalius.tools import Measurement, ToolError, get_tool, load_tools

PROMPT = "the capital of the state containing Dallas is"
SECTIONS = ("Raises", "ToolError", "Args:", "Returns:")


def printed(m: Measurement, home: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_measurement(m, home)
    return capsys.readouterr().out.splitlines()


def test_what_was_found_comes_first_then_ten_rows_and_where_all_of_it_is(atlas, tmp_path, capsys):
    m = measured(atlas, "path_patch")
    lines = printed(m, tmp_path, capsys)
    assert lines[0] == render_plain(headline(m), {m.id: m}).replace(f" [{m.id}]", "")
    at = next(i for i, line in enumerate(lines) if line.startswith("link "))
    rows = lines[at + 1 : at + 1 + MOST_ROWS]
    sizes = [abs(float(row.split()[-1])) for row in rows]
    every = sorted((abs(cell["effect"]) for cell in m.result["cells"]), reverse=True)
    assert sizes == pytest.approx(every[:MOST_ROWS], rel=1e-3)
    assert lines[at + 1 + MOST_ROWS] == f"… and {len(every) - MOST_ROWS} more links"
    assert m.id in lines[-2]
    kept = Path(re.search(r"Whole result: (\S+)", lines[-1])[1])
    assert Measurement.model_validate_json(kept.read_text()) == m


def test_a_short_result_has_no_more(atlas, tmp_path, capsys):
    assert not any("more" in line for line in printed(measured(atlas, "observable"), tmp_path, capsys)[2:])


@pytest.mark.parametrize("tool", ARGS)
def test_on_a_terminal_of_eighty_columns_only_the_path_is_longer(atlas, tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    lines = printed(measured(atlas, tool), tmp_path, capsys)
    assert [line for line in lines[:-1] if len(re.sub(r"\x1b\[[0-9;]*m", "", line)) > 80] == []
    assert strongest_of(measured(atlas, tool)).rows


def test_a_card_and_a_subspace_list_their_tests_with_the_outcome(atlas):
    card = strongest_of(measured(atlas, "steering_card"))
    assert sum(row[-1] == "✗ fail" for row in card.rows) == len(measured(atlas, "steering_card").result["weaknesses"])
    subspace = strongest_of(measured(atlas, "subspace_patch"))
    assert [row[0] for row in subspace.rows] == ["last"] * 4 + ["entity"] * 4


def test_text_of_the_model_is_shown_and_obeyed_by_no_terminal(atlas, tmp_path, capsys):
    m = measured(atlas, "patch_sweep")
    tokens = ["\x1b[2J\u202e[red]x[/]"] * len(m.result["tokens"])
    text = "\n".join(printed(changed(m, tokens=tokens), tmp_path, capsys))
    assert "\\u001b[2J\\u202e[red]x[/]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_every_list_that_is_named_is_one_of_its_instrument():
    tools = load_tools()
    assert {*_BY_TOOL, *_LISTS} <= set(tools)
    for tool, (name, columns, by) in _LISTS.items():
        schema = tools[tool].result_model.model_json_schema()
        item = schema["properties"][name]["items"]["$ref"].rsplit("/", 1)[-1]
        assert {*columns, *([by] if by else [])} <= set(schema["$defs"][item]["properties"]), tool


def test_a_result_of_an_instrument_that_is_not_known_lists_its_longest_list_or_its_values(atlas):
    m = measured(atlas, "observable").model_copy(update={"tool": "brand_new"})
    entries = [
        {"name": "a", "score": 0.5, "deep": {"x": 1}, "some": []},
        {"name": "b", "score": 1, "deep": {}, "some": [{}]},
    ]
    found = strongest_of(m.model_copy(update={"result": {"few": [{"x": 1}], "long_one": entries, "n": 2}}))
    assert (found.what, found.head, found.rows) == ("long one", ("name", "score"), [("a", 0.5), ("b", 1)])
    values = strongest_of(m.model_copy(update={"result": {"n": 2, "deep": {"x": [0.5]}}}))
    assert values.rows == [("n", 2), ("deep.x.0", 0.5)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (None, "–"),
        (True, "yes"),
        ([["Austin", 0.98], ["Texas", 0.01]], "Austin 0.98, Texas 0.01"),
        ([1, 2, 3, 4], "1, 2, 3, …"),
        ([], "–"),
        ("x" * 99, "x" * 59 + "…"),
    ],
)
def test_cells_are_short(value, text):
    assert cell_text(value) == text


def test_json_prints_the_whole_measurement_and_keeps_no_file(settings, tmp_path, capsys):
    arguments = ["--model", "atlas", "--prompts", json.dumps([PROMPT])]
    run_command(settings, "next_token", [*arguments, "--json"])
    whole = Measurement.model_validate(json.loads(capsys.readouterr().out))
    assert whole.result["answers"][0]["top"][0][0].strip() == "Austin"
    assert list(tmp_path.iterdir()) == []
    run_command(settings, "next_token", arguments)
    assert capsys.readouterr().out.startswith("The most likely answer is `Austin`")
    (kept,) = (tmp_path / "measurements").iterdir()
    assert Measurement.model_validate_json(kept.read_text()).digest == whole.digest


def test_it_is_kept_where_the_option_says(settings, tmp_path, capsys):
    elsewhere = tmp_path / "else where"
    run_command(settings, "next_token", ["--model", "atlas", "--prompts", f'["{PROMPT}"]', "--home", str(elsewhere)])
    assert str(elsewhere / "measurements") in capsys.readouterr().out
    assert len(list((elsewhere / "measurements").iterdir())) == 1


def test_a_measurement_that_is_kept_alone_is_found_by_its_id(atlas, tmp_path):
    m = measured(atlas, "eap")
    path = keep_alone(tmp_path, m)
    assert find_measurement(tmp_path, m.id, "eap", "") == m
    path.write_text(path.read_text().replace('"n_measured": 10', '"n_measured": 9'))
    with pytest.raises(UnreadableFile, match="changed after it was written"):
        find_measurement(tmp_path, m.id, "eap", "")
    with pytest.raises(ToolError, match="Give a run, `last`"):
        find_measurement(tmp_path, "m-00000000", "eap", "")


@pytest.mark.parametrize("tool", load_tools())
def test_help_tells_in_plain_words_what_is_refused(tool, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = running._description(get_tool(tool))
    assert not [word for word in SECTIONS if word in said]
    assert "\n\nIt refuses, and says how to mend it: " in said
    assert said.startswith(get_tool(tool).summary[:40])
    assert max(map(len, said.splitlines())) <= 80
