"""What language models say in a run: asked for once, written into the ledger, and from then on plain data."""

from typing import TYPE_CHECKING, Any

from ..tools import ToolError
from .planners.llm_endpoint import EndpointError
from .planners.llm_turns import Consultation, Turn
from .planners.llm_written import WrittenProbes

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ledger import Ledger
    from .planners.interface import Inquiry
    from .planners.llm_consulting import Consultant
    from .planners.llm_writing import ProbeWriter

    Emit = Callable[[dict[str, Any]], None]


class Advice:
    """The language models of one run, and what they said.

    Args:
        writer: who writes probes; a run that has all of its own needs none.
        consultant: who plans; none where code alone does.
    """

    def __init__(
        self, ledger: "Ledger", writer: "ProbeWriter | None" = None, consultant: "Consultant | None" = None
    ) -> None:
        self._ledger, self._writer, self._consultant = ledger, writer, consultant

    @property
    def written(self) -> dict[str, WrittenProbes]:
        """What was written for this run, by the key of the inquiry."""
        notes = [entry.body for entry in self._ledger.entries("note") if "written" in entry.body]
        return {body["inquiry"]["key"]: WrittenProbes.model_validate(body["written"]) for body in notes}

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said in this run, in order."""
        return tuple(Turn.model_validate(e.body["turn"]) for e in self._ledger.entries("note") if "turn" in e.body)

    def inquire(self, inquiry: "Inquiry", emit: "Emit") -> None:
        """Ask for probes once, so that a resumed run reads what the first one read.

        Raises:
            EndpointError: it does not answer; nothing is written down, and the run can be taken up again.
            ToolError: no language model is there to be asked.
        """
        if self._writer is None:
            raise _nobody(f"Probes for {inquiry.prompt!r} are still to be written")
        emit({"event": "asking", "model": self._writer.model, "prompt": inquiry.prompt})
        written = self._writer.write(inquiry)
        about = inquiry.model_dump(mode="json", exclude={"words"})
        body = {"inquiry": about, "written": written.model_dump(mode="json")}
        self._ledger.append(f"written:{inquiry.key}", "note", body)
        emit({"event": "written", "model": written.model, "n": len(written.probes), "problem": written.problem})

    def consult(self, asked: Consultation, emit: "Emit") -> Turn:
        """Ask who plans; what it said is in the ledger before anything comes of it.

        Raises:
            EndpointError: the one that plans has not answered once in this run: there is nothing to go on with.
            ToolError: no language model is there to be asked.
        """
        if self._consultant is None:
            raise _nobody("This run is planned by a language model")
        emit({"event": "consulting", "role": asked.role, "model": self._consultant.model, "number": asked.number})
        try:
            turn = self._consultant.consult(asked)
        except EndpointError as error:
            # The parts beside the planner are extras: a finished investigation does not wait for them.
            if asked.role == "planner" and all(one.problem for one in self.turns if one.role == "planner"):
                raise
            plain = {"number": asked.number, "role": asked.role, "mode": asked.mode, "model": self._consultant.model}
            turn = Turn.model_validate({**plain, "problem": error.message, "unanswered": True})
        self._ledger.append(f"{asked.role}:{asked.number}", "note", {"turn": turn.model_dump(mode="json")})
        emit({"event": "said", **turn.model_dump(mode="json", include={"role", "number", "content", "problem"})})
        return turn


def _nobody(why: str) -> ToolError:
    return ToolError(
        f"{why}, and there is no language model to ask.",
        mend="Go on with the run by `vesalius ask --resume`, which reads the settings of one.",
    )
