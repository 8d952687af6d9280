"""The house: what is packaged equals what is there, and help answers quickly."""

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("agent", "evals", "memory", "tools")
HELP_SECONDS = 0.3


def test_every_package_folder_is_listed_for_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {p.parent for top in TOP for p in (ROOT / top).rglob("__init__.py")}
    assert sorted(listed) == sorted("vesalius." + str(f.relative_to(ROOT)).replace("/", ".") for f in folders)


@pytest.mark.parametrize("arguments", [["ask", "Why?"], ["verify", "nothing"], ["eval", "nothing"]])
def test_what_needs_no_model_loads_nothing_heavy(arguments, tmp_path):
    command = f"""
import sys
from vesalius.agent.cli import main
sys.argv = ["vesalius", *{arguments!r}]
try:
    main()
finally:
    print("LOADED", sorted({{"torch", "scipy.stats", "transformers", "chromadb"}} & {{*sys.modules}}))
"""
    env = {**os.environ, "VESALIUS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=env, check=False)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_help_answers_in_a_third_of_a_second():
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "vesalius.agent", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) <= HELP_SECONDS, seconds


def test_every_tool_has_a_test_file_of_its_name():
    tools = {p.stem for p in (ROOT / "tools").glob("*.py") if not p.stem.startswith("_")}
    tests = {p.stem.removeprefix("test_") for p in (ROOT / "tests" / "tools").glob("test_*.py")}
    assert tools <= tests


def test_no_file_names_a_machine_path():
    pattern = re.compile(r"/(work|root|farm)/")
    files = [p for top in (*TOP, "tests") for p in (ROOT / top).rglob("*.py") if p != Path(__file__)]
    assert [str(p) for p in files if pattern.search(p.read_text())] == []
