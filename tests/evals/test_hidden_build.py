"""Making organisms with a hidden rule: what is there is not mistaken for what is asked for; trouble is told first."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vesalius.evals.organisms import _hidden_folder, hidden_rule
from vesalius.evals.organisms._hidden_folder import Base, Plan, is_made, load, make, make_base
from vesalius.evals.organisms._hidden_training import Agreement
from vesalius.evals.organisms._new_folder import new_folder
from vesalius.evals.organisms.hidden_rule import build, plans
from vesalius.tools import ToolError

PLAN = Plan("scratch", "none", 1)
HEED = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def good(monkeypatch) -> None:
    """Training that leaves weights as they are and says all is well."""
    monkeypatch.setattr(_hidden_folder, "train", lambda *_: (7, Agreement(1.0, 1.0)))


@pytest.fixture
def no_training(monkeypatch):
    """From when it is called, nothing may be trained."""

    def trains(*_: object) -> None:
        raise AssertionError("something was trained")

    return lambda: monkeypatch.setattr(_hidden_folder, "train", trains)


def ignore(*_: object) -> None:
    """Progress that nobody reads."""


@pytest.mark.usefixtures("good")
def test_another_seed_does_not_pass_for_made_in_a_folder_of_the_first(tmp_path, no_training, capsys):
    given = ["--out", str(tmp_path), "--depths", "1", "--workers", "1"]
    assert hidden_rule.main(given) == 0
    no_training()
    assert hidden_rule.main(given) == 0  # all is there
    capsys.readouterr()
    assert hidden_rule.main([*given, "--seed", "1"]) == 1
    said = capsys.readouterr().err
    assert "was made by another recipe" in said
    assert "Asked for is seed 1" in said
    assert f"Pass another folder than {tmp_path}, or remove it." in said


@pytest.mark.usefixtures("good")
def test_nothing_is_made_where_one_organism_is_of_other_code_or_torch(tmp_path, monkeypatch, no_training):
    build([PLAN], tmp_path, ignore, workers=1)
    assert is_made(PLAN, tmp_path)
    assert not is_made(Plan("scratch", "none", 2), tmp_path)
    no_training()
    for owner, name, value in ((_hidden_folder.CODE, "hidden_rule.py", "edited"), (None, "", "")):
        with monkeypatch.context() as patch:
            if owner is None:
                patch.setattr(_hidden_folder.torch, "__version__", "9.9")
            else:
                patch.setitem(owner, name, value)
            with pytest.raises(ToolError, match=r"made by another recipe.*or remove it"):
                build([Plan("scratch", "none", 2), PLAN], tmp_path, ignore, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == [PLAN.name]
    (tmp_path / PLAN.name / "card.json").unlink()
    with pytest.raises(ToolError, match="no whole organism"):
        build([PLAN], tmp_path, ignore, workers=1)


@pytest.mark.usefixtures("good")
def test_adapters_of_one_depth_and_number_share_a_start_and_others_do_not(tmp_path):
    asked = [plan for plan in plans(0, {"adapter": 2}, (1, 2)) if plan.kind != "faithful"]
    said: list[tuple[int, int]] = []
    build(asked, tmp_path, lambda done, total, _: said.append((done, total)), workers=1)
    assert said == [(n, 12) for n in range(1, 13)]  # four bases and eight adapters
    bases = {plan.base for plan in asked}
    assert len({base.name for base in bases}) == len(bases) == 4
    assert len({(tmp_path / base.name / "model.safetensors").read_bytes() for base in bases}) == 4
    for plan in asked:
        start = (tmp_path / plan.base.name / "model.safetensors").read_bytes()
        assert (tmp_path / plan.name / "model.safetensors").read_bytes() == start  # nothing was trained
    assert len({plan.cluster for plan in asked}) == 4
    assert PLAN.base is None
    assert PLAN.cluster == PLAN.name
    assert Base(1, 0, 0).name != Base(1, 0, 1).name


def test_what_another_run_has_made_meanwhile_is_taken(tmp_path, monkeypatch):
    inner = iter([True, False])

    def trains(*_: object) -> tuple[int, Agreement]:
        if next(inner):
            make(PLAN, tmp_path)
        return 7, Agreement(1.0, 1.0)

    monkeypatch.setattr(_hidden_folder, "train", trains)
    assert "made meanwhile by another run" in make(PLAN, tmp_path)
    assert load(PLAN, tmp_path).plan == PLAN
    assert [path.name for path in tmp_path.iterdir()] == [PLAN.name]


def test_a_base_that_another_run_has_made_meanwhile_is_taken(tmp_path, monkeypatch):
    base, inner = Base(1, 0, 0), iter([True, False])

    def trains(*_: object) -> tuple[int, Agreement]:
        if next(inner):
            make_base(base, tmp_path)
        return 7, Agreement(1.0, 1.0)

    monkeypatch.setattr(_hidden_folder, "train", trains)
    make_base(base, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [base.name]


def test_a_folder_that_comes_to_be_meanwhile_is_no_bare_error_and_is_left_alone(tmp_path):
    mine = new_folder(tmp_path / "one")
    mine.__enter__()
    with new_folder(tmp_path / "one") as theirs:
        (theirs / "by").write_text("theirs")
    with pytest.raises(FileExistsError, match="has come to be meanwhile"):
        mine.__exit__(None, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one" / "by").read_text() == "theirs"


def test_a_folder_that_cannot_be_written_into_is_refused_before_anything_is_trained(tmp_path, no_training, capsys):
    no_training()
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "in", Path("/proc/nowhere")):
        with pytest.raises(SystemExit) as ended:
            hidden_rule.main(["--out", str(out)])
        assert ended.value.code == 2
        assert "cannot be written into" in capsys.readouterr().err


def test_a_seed_below_zero_is_refused_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        hidden_rule.main(["--out", str(tmp_path / "new"), "--seed", "-1"])
    assert ended.value.code == 2
    assert "the seed is -1; pass 0 or more" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_a_keyboard_stops_the_command_with_one_line(tmp_path):
    command = [sys.executable, "-m", hidden_rule.__name__, "--out", tmp_path / "o", "--depths", "3", "--workers", "2"]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=HEED, start_new_session=True)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    until = time.monotonic() + 60
    while len(children.read_text().split()) < 3 and time.monotonic() < until:  # two, and what tracks their resources
        time.sleep(0.2)
    time.sleep(1)
    began = time.monotonic()
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130
    assert time.monotonic() - began < 10
    assert said.decode() == "Stopped. The same command goes on after the last organism that was written.\n"
