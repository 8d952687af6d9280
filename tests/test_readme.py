"""The README's examples run, and its commands are the ones that continuous integration runs."""

import re
import subprocess
from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("example", list(find_examples(ROOT / "README.md")), ids=str)
def test_python_examples_run(example: CodeExample, eval_example: EvalExample):
    eval_example.run(example)


def test_continuous_integration_finds_the_test_command():
    script = (ROOT / ".ci" / "run").read_text()
    extract = re.search(r"command=\$\((awk .*?)\)\n", script)
    assert extract
    found = subprocess.run(["bash", "-c", extract[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.strip().endswith("-m pytest -n 2 --dist loadfile")
    assert found.strip() in (ROOT / "README.md").read_text()
