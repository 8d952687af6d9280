"""How a command ends: statuses that differ, and promises that hold."""

import pytest
import typer
from vesalius.agent import failing
from vesalius.agent.commands.asking import ask_command
from vesalius.agent.failing import EXIT_ERROR, EXIT_STOPPED, Stopped, reported
from vesalius.agent.report.verify import Drift, NotReproducible, Verification, exit_status
from vesalius.agent.settings import read_settings
from vesalius.tools import ToolError

DRIFT = Drift(id="m-1", path="gap", was=1.0, now=2.0)
LOST = NotReproducible(id="m-2", reason="The model is gone.")


def verified(*drifted: Drift, lost: tuple[NotReproducible, ...] = ()) -> Verification:
    return Verification(reproduced=(), drifted=drifted, not_reproducible=lost, bit_identical=0, measurements=2)


def test_every_way_to_end_has_a_status_of_its_own():
    statuses = [value for name, value in vars(failing).items() if name.startswith("EXIT_")]
    assert len(set(statuses)) == len(statuses)
    assert 0 not in statuses


@pytest.mark.parametrize(
    ("found", "status"),
    [(verified(), 0), (verified(DRIFT), 1), (verified(DRIFT, lost=(LOST,)), 1), (verified(lost=(LOST,)), 4)],
)
def test_what_cannot_be_measured_again_ends_otherwise_than_a_command_that_failed(found, status):
    assert exit_status(found) == status != EXIT_ERROR


def test_help_tells_every_status_that_a_command_can_end_with():
    for text, statuses in ((failing.ASK_STATUSES, (0, 2, 3, 5, 130)), (failing.VERIFY_STATUSES, (0, 1, 2, 4, 130))):
        assert [int(line.split()[0]) for line in text.splitlines()[2:]] == list(statuses)


def ended(error: BaseException, capsys) -> tuple[int, str]:
    with pytest.raises(typer.Exit) as raised, reported(as_json=False):
        raise error
    return raised.value.exit_code, capsys.readouterr().err


def test_stopping_promises_to_go_on_only_where_there_is_something_to_go_on_with(capsys):
    assert ended(KeyboardInterrupt(), capsys) == (EXIT_STOPPED, "\nStopped.\n")
    assert ended(Stopped("To go on: this."), capsys) == (EXIT_STOPPED, "\nStopped. To go on: this.\n")


def test_a_run_that_was_never_begun_leaves_nothing_to_resume(tmp_path, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vesalius.tools.load_subject", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        ask_command(
            read_settings(home=tmp_path), "Why does the model answer 'a' after 'b'?", None, "", False, False, True
        )
    assert not isinstance(raised.value, Stopped)
    assert not (tmp_path / "runs").exists()


def test_an_error_cannot_steer_the_terminal(capsys):
    status, message = ended(ToolError("It says \x1b[31m\u202e.\nTwo lines", mend="Mend."), capsys)
    assert (status, message) == (EXIT_ERROR, "error: It says \\u001b[31m\\u202e.\nTwo lines Mend.\n")


def test_a_run_is_not_taken_up_with_another_question(dallas, home):
    with pytest.raises(ToolError, match="Leave the question out"):
        ask_command(read_settings(home=home), "What does feature 0/1 stand for?", None, "last", False, False, True)
