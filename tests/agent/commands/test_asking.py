"""Contrast pairs from a file: the README's example works as it stands, and what contrasts nothing is refused."""

import json
import re
from pathlib import Path

import pytest
from finished_runs import finish
from vesalius.agent.asking import Where
from vesalius.agent.commands.asking import read_pairs
from vesalius.agent.runs import UnreadableFile

PAIR = {"clean": "hot is", "corrupted": "big is", "answer": "cold", "foil": "small"}

README = Path(__file__).parents[3] / "README.md"


def test_the_pairs_of_the_readme_are_enough_for_a_supported_claim(atlas, tmp_path):
    example = re.search(r"```csv\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    (tmp_path / "opposites.csv").write_text(example[1], encoding="utf-8")
    pairs = read_pairs(tmp_path / "opposites.csv")
    report = finish(Where(tmp_path, use_memory=False), atlas, "Where is the opposite computed?", pairs).report
    assert "supported" in {claim.judgement.verdict for claim in report.claims}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([PAIR, PAIR | {"corrupted": " hot is"}], "row 2: `clean` and `corrupted` are the same: 'hot is'"),
        ([PAIR | {"foil": "cold"}], "row 1: `answer` and `foil` are the same: 'cold'"),
        ([PAIR | {"clean": 3}], "row 1, `clean`: Input should be a valid string"),
        ([{"clean": "x"}], "row 1, `corrupted`: Field required"),
        ({"pairs": []}, "the whole: Input should be a valid tuple"),
        ([], "holds no pair"),
    ],
)
def test_a_file_that_holds_no_contrast_is_refused_with_the_row(tmp_path, rows, message):
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    with pytest.raises(UnreadableFile) as raised:
        read_pairs(tmp_path / "pairs.json")
    assert message in str(raised.value)
    assert "clean, corrupted, answer and foil" in str(raised.value)
