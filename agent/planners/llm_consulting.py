"""Asks the language model that plans, and writes down what it said, or why it said nothing that can be used."""

from collections.abc import Callable

from .llm_conversing import ModeUnknown, NotTaken, TooLong, converse
from .llm_endpoint import BadReply, Chat, Endpoint, refuse_other_model
from .llm_turns import Consultation, Turn

TEMPERATURE = 0.3
MARKS = {ModeUnknown: "mode_refused", TooLong: "too_long", NotTaken: "refused"}  # of a turn, by what went wrong
RETRIES = 4  # of an endpoint that is overloaded or cannot be reached, with growing waits


class Consultant:
    """The language model of a run.

    Args:
        endpoint: where to ask, looked up when something is asked.
        model: the one that the run began with.
        temperature: how freely it may word what it says.
        retries: least number of further tries; an endpoint's own may be more (count).
    """

    def __init__(
        self,
        endpoint: Callable[[], Endpoint],
        model: str,
        temperature: float = TEMPERATURE,
        retries: int = RETRIES,
    ) -> None:
        self._endpoint, self.model = endpoint, model
        self._temperature, self._retries = temperature, retries

    def consult(self, asked: Consultation) -> Turn:
        """What it said.

        Raises:
            EndpointError: it does not answer.
            ToolError: the settings name another model by now.
            SettingError: they name none.
        """
        endpoint = self._endpoint()
        refuse_other_model(endpoint, self.model, "This run is planned")
        turn = Turn(number=asked.number, role=asked.role, mode=asked.mode, model=self.model)
        patient = endpoint.model_copy(update={"retries": max(self._retries, endpoint.retries)})
        with Chat(patient, asked.left_out) as chat:
            try:
                found = converse(chat, asked, self._temperature).model_dump()
            except BadReply as error:
                marks = {name for kind, name in MARKS.items() if isinstance(error, kind)}
                found = {"problem": error.message, **dict.fromkeys(marks, True)}
            return Turn.model_validate({**turn.model_dump(), **found, "left_out": sorted(chat.left_out)})
