"""The driver, with workers that answer by a script, and then with real ones that are killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from agent_audited import a_cell, answered
from served import InThisProcess
from vesalius.agent.audit.cells import Cell
from vesalius.agent.audit.driving import MOST_STARTS, Driver, Halted
from vesalius.agent.audit.standing import Standing
from vesalius.agent.audit.store import Store
from vesalius.agent.audit.table import table_of
from vesalius.tools import ToolError

Answer = Callable[[Cell, int], dict[str, Any] | None]


def done(cell: Cell, more: str = "") -> dict[str, Any]:
    return {"done": answered(cell, answer=more or cell.item).model_dump(mode="json"), "seconds": 1.0}


class Script:
    """Starts workers that answer as it says; no answer is a worker that dies. It counts what was asked."""

    def __init__(
        self, answer: Answer, loads: Callable[[str], dict[str, str]] = lambda model: {"loaded": "weights"}
    ) -> None:
        self.answer, self.loads = answer, loads
        self.asked: list[str] = []
        self.started: list[str] = []
        self.at_once = self.most_at_once = 0

    def __call__(self, model: str) -> tuple[Connection, InThisProcess]:
        ours, theirs = multiprocessing.Pipe()
        thread = threading.Thread(target=self._work, args=(theirs, model), daemon=True)
        self.started.append(model)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        thread.start()
        return ours, Ended(thread, theirs, self)

    def _work(self, theirs: Connection, model: str) -> None:
        try:
            theirs.send(self.loads(model))
            while True:
                cell = Cell.model_validate(theirs.recv())
                self.asked.append(cell.item)
                theirs.send({"step": "patch"})
                if (told := self.answer(cell, self.asked.count(cell.item))) is None:
                    return
                theirs.send(told)
        except (EOFError, OSError):
            return
        finally:
            theirs.close()


class Ended(InThisProcess):
    def __init__(self, thread: threading.Thread, theirs: Connection, script: Script) -> None:
        super().__init__(thread, theirs)
        self._script = script

    def terminate(self) -> None:
        self._script.at_once -= 1


def drive(home: Path, script: Script, cells: list[Cell], most: int = 2, **more: Any) -> Store:
    store = Store(home, "a")
    limits = more.pop("seconds", None), more.pop("tokens", None)
    Driver(store, script, most, more.pop("tell", lambda _: None), **more).drive(cells, *limits)
    return store


def test_every_cell_is_asked_once_and_a_second_run_asks_nothing(tmp_path):
    cells = [a_cell(f"i{n}", subject) for subject in ("one", "two") for n in range(5)]
    script = Script(lambda cell, _: done(cell))
    told: list[Standing] = []
    store = drive(tmp_path, script, cells, tell=told.append)
    assert sorted(script.asked) == sorted(cell.item for cell in cells)
    assert {cell: found.answer for cell, found in store.found(cells).items()} == {cell: cell.item for cell in cells}
    assert script.most_at_once <= 2
    assert {(one.cells, *(model.cells for model in one.models)) for one in told} == {(10, 5, 5)}
    assert (told[0].done, told[0].left, told[0].models[0].done) == (0, None, None)  # nothing is loaded yet
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert any(doing.endswith(", patch") for one in told for model in one.models for doing in model.doing)
    again = Script(lambda cell, _: done(cell))
    told.clear()
    drive(tmp_path, again, [*cells, a_cell("new", "one")], tell=told.append)
    assert again.asked == ["new"]
    assert max(one.done for one in told) >= 10  # what was done earlier counts


def test_one_model_has_as_many_workers_as_fit_and_no_more_than_cells(tmp_path):
    gate = threading.Barrier(3)

    def together(cell: Cell, _: int) -> dict[str, Any]:
        gate.wait(20)  # fails where the three are not asked at the same time
        return done(cell)

    script = Script(together)
    drive(tmp_path, script, [a_cell(f"i{n}") for n in range(3)], most=8)
    assert len(script.started) == 3


def test_a_worker_that_dies_is_replaced_and_one_that_always_dies_of_a_cell_fails_that_cell_alone(tmp_path):
    def dying(cell: Cell, times: int) -> dict[str, Any] | None:
        return None if cell.item == "deadly" or (cell.item == "once" and times == 1) else done(cell)

    cells = [a_cell("once"), a_cell("deadly"), a_cell("fine")]
    script = Script(dying)
    found = drive(tmp_path, script, cells, most=1).found(cells)
    assert [found[cell].answer for cell in cells] == ["once", "", "fine"]
    assert found[cells[1]].failed == f"Its worker died {MOST_STARTS} times."
    assert (script.asked.count("once"), script.asked.count("deadly")) == (2, MOST_STARTS)
    mended = Script(lambda cell, _: done(cell))  # another time, with more memory say, that cell alone is asked again
    found = drive(tmp_path, mended, cells, most=1).found(cells)
    assert mended.asked == ["deadly"]
    assert (found[cells[1]].answer, found[cells[1]].failed) == ("deadly", "")


def test_workers_whose_place_is_gone_stop_it(tmp_path):
    def gone() -> None:
        raise ToolError("No Ray cluster answers.", mend="Start one.")

    clock = iter(range(0, 10_000, 20))
    script = Script(lambda cell, _: done(cell))
    with pytest.raises(ToolError, match="No Ray cluster answers"):
        drive(tmp_path, script, [a_cell("x")], check=gone, clock=lambda: float(next(clock)))


def test_an_answer_of_another_program_stops_it_and_says_so(tmp_path):
    other = Script(lambda cell, _: {**done(cell), "done": {"colour": "red"}})
    with pytest.raises(Halted, match=r"answered what this program cannot read.*same code on every node"):
        drive(tmp_path, other, [a_cell("x")])


def test_what_every_cell_would_suffer_from_stops_it_and_what_is_done_stays(tmp_path):
    cells = [a_cell("first"), a_cell("second"), a_cell("third")]
    full = Script(lambda cell, _: done(cell) if cell.item == "first" else {"halt": "OSError: No space left on device"})
    with pytest.raises(Halted, match="No space left on device"):
        drive(tmp_path, full, cells, most=1)
    store = Store(tmp_path, "a")
    assert [cell.item for cell in store.found(cells)] == ["first"]
    mended = Script(lambda cell, _: done(cell))
    drive(tmp_path, mended, cells, most=1)
    assert mended.asked == ["second", "third"]


def test_a_model_that_cannot_be_loaded_keeps_no_other_from_being_asked(tmp_path):
    def loads(model: str) -> dict[str, str]:
        return {"unloadable": "no such model.", "mend": "Give another."} if model == "bad" else {"loaded": "weights"}

    cells = [a_cell("x", "bad"), a_cell("x", "good")]
    with pytest.raises(Halted, match="bad: no such model"):
        drive(tmp_path, Script(lambda cell, _: done(cell), loads), cells, most=1)
    assert [*Store(tmp_path, "a").found(cells)] == [cells[1]]


def test_other_weights_under_the_same_name_are_asked_again(tmp_path):
    cells = [a_cell("x")]
    drive(tmp_path, Script(lambda cell, _: done(cell)), cells)

    def newer(cell: Cell, _: int) -> dict[str, Any]:
        found = answered(cell, answer="new").model_copy(update={"fingerprint": "newer"})
        return {"done": found.model_dump(mode="json"), "seconds": 1.0}

    store = drive(tmp_path, Script(newer, lambda model: {"loaded": "newer"}), cells)
    assert store.found(cells)[cells[0]].answer == "new"
    same = Script(lambda cell, _: done(cell))
    assert drive(tmp_path, same, cells).found(cells)[cells[0]].answer == "x"
    assert same.asked == [], "what the first weights answered is known still"


def test_no_cell_is_begun_after_the_time_is_over(tmp_path):
    clock = iter([0.0, 1.0, 1.0, *[99.0] * 1000])
    cells = [a_cell(f"i{n}") for n in range(5)]
    script = Script(lambda cell, _: done(cell))
    store = drive(tmp_path, script, cells, most=1, seconds=10.0, clock=lambda: next(clock))
    assert len(store.found(cells)) < 5
    assert not table_of("a", cells, store.found(cells)).is_whole


def test_no_cell_is_begun_beyond_the_tokens_of_the_whole_audit_and_earlier_runs_count(tmp_path):
    cells = [a_cell(f"i{n}") for n in range(5)]
    costly = Script(lambda cell, _: done(cell) | {"tokens": 40})
    store = drive(tmp_path, costly, cells, most=1, tokens=100)
    assert len(store.found(cells)) == 3
    assert store.tokens() == 120
    again = Script(lambda cell, _: done(cell) | {"tokens": 40})
    drive(tmp_path, again, cells, most=1, tokens=100)
    assert again.asked == []
    drive(tmp_path, again, cells, most=1, tokens=200)
    assert len(store.found(cells)) == 5


def test_a_second_process_is_refused(tmp_path):
    store = Store(tmp_path, "a")
    with store.held(), pytest.raises(ToolError, match=f"run by another process.*{os.getpid()}"), store.held():
        pass
    with store.held():
        pass


SPEC = """\
audit: killed
subjects: [{model: atlas}]
items:
  - id: wrong
    question: "Why does the model answer '{capital}' after 'the capital of the state containing Dallas is'?"
    matrix: {capital: [Boston, Salem, Phoenix]}
  - {id: unknown, question: "Why does the model answer 'Mordor' after 'the capital of the state containing Dallas is'?"}
"""


def audit(home: Path, spec: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vesalius.agent", "audit", "run", str(spec), "--home", str(home), "--workers", "2"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def table(home: Path) -> bytes:
    return (home / "audits" / "killed" / "table.jsonl").read_bytes()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.skipif(sys.platform != "linux", reason="children are looked up under /proc")
def test_kill_9_of_a_worker_and_of_the_driver_ends_with_the_table_of_an_undisturbed_run(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    calm = audit(tmp_path / "calm", spec)
    said, err = calm.communicate()
    assert calm.returncode == 1, err  # a question that the model cannot be asked fails by default
    assert "1 failing, 3 passing" in said
    home = tmp_path / "killed"
    first = audit(home, spec)
    measured = lambda: [*home.glob("runs/killed.*/measurements/*.json")]  # noqa: E731
    wait_until(lambda: measured() and workers_of(first), first)
    os.kill(workers_of(first)[0], signal.SIGKILL)
    seen = len(measured())
    wait_until(lambda: len(measured()) > seen, first)
    orphans = workers_of(first)
    first.kill()
    first.communicate()
    wait_for(lambda: not [pid for pid in orphans if Path(f"/proc/{pid}").exists()])
    second = audit(home, spec)
    _, err = second.communicate()
    assert second.returncode == 1, err
    assert table(home) == table(tmp_path / "calm")
    assert len([*home.glob("runs/*")]) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="children are looked up under /proc")
def test_a_stop_by_the_system_is_one_line_and_leaves_no_process(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    run = audit(tmp_path / "home", spec)
    wait_until(lambda: [*(tmp_path / "home").glob("runs/killed.*/measurements/*.json")], run)
    workers = workers_of(run)
    run.terminate()
    _, err = run.communicate()
    assert run.returncode == 130
    assert "Traceback" not in err
    assert "Nothing finished is lost; to go on: vesalius audit run" in err
    wait_for(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()])


def test_a_model_that_cannot_be_loaded_leaves_the_table_of_the_others(tmp_path):
    spec = tmp_path / "spec.yaml"
    text = SPEC.replace("[{model: atlas}]", "[{model: atlas}, {model: nowhere}]").replace(", Salem, Phoenix]", "]")
    spec.write_text(text)
    run = audit(tmp_path / "home", spec)
    _, err = run.communicate()
    assert run.returncode == 2
    assert "nowhere" in err
    written = (tmp_path / "home" / "audits" / "killed" / "junit.xml").read_text()
    assert '<testsuite name="atlas" tests="2" failures="1" errors="0" skipped="0">' in written
    assert '<testsuite name="nowhere" tests="2" failures="0" errors="0" skipped="2">' in written


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def wait_for(is_so: Callable[[], object], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)
