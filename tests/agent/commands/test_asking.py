"""Contrast pairs from a file: the README's example works as it stands."""

import re
from pathlib import Path

from finished_runs import finish
from vesalius.agent.asking import Where
from vesalius.agent.commands.asking import read_pairs

README = Path(__file__).parents[3] / "README.md"


def test_the_pairs_of_the_readme_are_enough_for_a_supported_claim(atlas, tmp_path):
    example = re.search(r"```csv\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    (tmp_path / "opposites.csv").write_text(example[1], encoding="utf-8")
    pairs = read_pairs(tmp_path / "opposites.csv")
    report = finish(Where(tmp_path, use_memory=False), atlas, "Where is the opposite computed?", pairs).report
    assert "supported" in {claim.judgement.verdict for claim in report.claims}
