"""A spec: what it may hold, and errors that point at the line."""

import re

import pytest
from vesalius.agent.audit.cells import cells_of
from vesalius.agent.audit.spec import FOUND, Found, read_spec
from vesalius.agent.runs import UnreadableFile
from vesalius.agent.settings import Settings

CAPITALS = """\
audit: nightly
subjects:
  - model: atlas
items:
  - id: capital
    question: "Why does the model answer '{capital}' after 'the capital of {state} is'?"
    matrix:
      - {capital: Austin, state: Texas}
      - {capital: Salem, state: Oregon}
"""


def cells(text, tmp_path, **files):
    for name, content in files.items():
        (tmp_path / name.replace("_", ".")).write_text(content)
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    spec, lined = read_spec(path)
    return spec, cells_of(spec, lined, tmp_path, Settings(home=tmp_path))


def test_a_matrix_of_rows_is_a_question_each(tmp_path):
    spec, found = cells(CAPITALS, tmp_path)
    assert [cell.item for cell in found] == ["capital.1", "capital.2"]
    assert [re.findall("'(.*?)'", cell.question) for cell in found] == [
        ["Austin", "the capital of Texas is"],
        ["Salem", "the capital of Oregon is"],
    ]
    assert {cell.fails_if for cell in found} == {spec.policy.fails_if} == {("failed", "unanswerable")}


def test_a_matrix_of_lists_is_every_combination_and_each_model_and_seed_is_asked_all(tmp_path):
    lists = "    matrix: {capital: [Austin, Salem], state: [Texas, Ohio, Iowa]}\n"
    text = CAPITALS[: CAPITALS.index("    matrix")] + lists
    text = text.replace("  - model: atlas\n", "  - model: atlas\n  - {model: atlas, label: again}\nseeds: [0, 7]\n")
    _, found = cells(text, tmp_path)
    assert len(found) == 2 * 3 * 2 * 2
    assert [(c.item, c.subject, c.seed) for c in found[:5]] == [
        ("capital.1", "atlas", 0),
        ("capital.1", "atlas", 7),
        ("capital.1", "again", 0),
        ("capital.1", "again", 7),
        ("capital.2", "atlas", 0),
    ]
    assert len({cell.key("weights") for cell in found}) == len(found)


def test_what_could_change_an_answer_changes_the_key_and_what_fails_an_audit_does_not(tmp_path):
    _, (plain, _) = cells(CAPITALS, tmp_path)
    _, (stricter, _) = cells(CAPITALS + "policy: {fails_if: [refuted]}\n", tmp_path)
    assert stricter.fails_if == ("refuted",)
    assert stricter.key("w") == plain.key("w")
    assert plain.key("other weights") != plain.key("w")
    for more in ("budget: seconds=60\n", "seeds: [1]\n"):
        _, (other, _) = cells(CAPITALS + more, tmp_path)
        assert other.key("w") != plain.key("w"), more


def test_pairs_and_models_are_found_beside_the_spec(tmp_path):
    text = "audit: a\nsubjects: [{model: tiny}]\nitems: [{id: x, question: 'Where is it?', pairs: p.csv}]\n"
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    row = "the opposite of {} is,the opposite of {} is,{},{}\n"
    csv = "clean,corrupted,answer,foil\n" + row.format("hot", "big", "cold", "small")
    text = text.replace("Where is it?", "Where is the opposite computed?")
    _, (cell,) = cells(text, tmp_path, p_csv=csv)
    assert cell.model == str(tmp_path / "tiny")
    assert cell.subject == "tiny"
    assert cell.pairs[0].answer == "cold"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("id: capital", "id: 'a b'"), "line 5, `items[0].id`: String should match pattern"),
        (("    matrix", "    colour: red\n    matrix"), "line 7, `items[0].colour`: there is no such field"),
        (("audit: nightly", "audit: [nightly]"), "line 1, `audit`: Input should be a valid string"),
        (("  - model: atlas", "  - label: x"), "line 3, `subjects[0].model`: Field required"),
        (("state: Oregon", "city: Salem"), "row 2 of its matrix: {state} has no value, `city` is not"),
        (("Why does", "How does"), "line 5, `items[0]`: This question has no form"),
        (("audit: nightly", "audit: a\naudit: b"), "line 2: `audit` stands here twice"),
        (("  - id: capital", "  - id: [capital"), "line 6"),
        (("audit: nightly", "audit: nightly\nseeds: [0, 0]"), "seeds 0 more than once"),
        (("    matrix", "    feature: 2/42\n    matrix"), "`items[0]`: give one of `question`, `feature` and `claims`"),
        (("audit: nightly", "audit: nightly\nbudget: seconds=soon"), "line 2, `budget`: "),
        (("audit: nightly", "audit: nightly\npolicy: {fails_if: [sad]}"), "line 2, `policy.fails_if[0]`: Input"),
        (("    matrix", "    pairs: none.csv\n    matrix"), "none.csv cannot be read"),
        (("audit: nightly", "audit: nightly\nseconds: .inf"), "`seconds`"),
        (("state: Texas", "state: NO"), "line 8: YAML takes `NO` for something else; put it in quotes"),
        (("state: Texas", "state: 010"), "line 8: YAML takes `010`"),
        (("state: Texas", "state: 12:30:15"), "line 8: YAML takes `12:30:15`"),
        (("state: Texas", "state: 2001-02-30"), "put it in quotes"),
        (("state: Texas", "state: a\x00b"), "spec.yaml: unacceptable character"),
        (("state: Texas", "state: !!int foo"), "line 8"),
        (("state: Texas", "state: " + "9" * 5000), "line 8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(change, told, tmp_path):
    with pytest.raises(UnreadableFile) as raised:
        cells(CAPITALS.replace(*change), tmp_path)
    assert told in str(raised.value)


def test_a_few_lines_that_stand_for_more_than_memory_holds_are_refused(tmp_path):
    layers = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12))
    (tmp_path / "bomb.yaml").write_text(f"l0: &l0 x\n{layers}")
    with pytest.raises(UnreadableFile, match="aliases written out"):
        read_spec(tmp_path / "bomb.yaml")


DEEP, LONG, CODE = "a: " + "[" * 5000, "x" * 2_000_000, "!!python/object/apply:os.system [echo]"


@pytest.mark.parametrize("text", ["", "- 1", CODE, DEEP, LONG], ids=["empty", "a list", "code", "deep", "long"])
def test_what_is_no_spec_is_refused(text, tmp_path):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(UnreadableFile, match=r"spec\.yaml"):
        read_spec(tmp_path / "spec.yaml")


def test_everything_that_can_be_found_is_described():
    assert set(FOUND) == set(Found.__args__)


def test_values_of_a_matrix_stand_in_the_file_of_pairs_too(tmp_path):
    question = "Does the answer change with the {field}?"
    text = (
        f"audit: a\nsubjects: [{{model: m}}]\nitems:\n  - id: x\n    question: '{question}'\n"
        "    pairs: '{field}.csv'\n    matrix: {field: [one, two]}\n"
    )
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(f"clean,corrupted,answer,foil\n{name},b,c,d\n")
    _, found = cells(text, tmp_path)
    assert [(cell.question, cell.pairs[0].clean) for cell in found] == [
        ("Does the answer change with the one?", "one"),
        ("Does the answer change with the two?", "two"),
    ]


@pytest.mark.parametrize("matrix", ["{}", "[]", "{state: [], capital: [Austin]}"])
def test_a_matrix_of_nothing_asks_nothing_and_is_refused(matrix, tmp_path):
    with pytest.raises(UnreadableFile, match=r"`items\[0\]\.matrix"):
        cells(CAPITALS[: CAPITALS.index("    matrix")] + f"    matrix: {matrix}\n", tmp_path)
