"""Asks the language model that plans, and writes down what it said, or why it said nothing that can be used."""

from collections.abc import Callable

from .llm_conversing import ModeUnknown, converse
from .llm_endpoint import BadReply, Chat, Endpoint, refuse_other_model
from .llm_turns import Consultation, Turn

TEMPERATURE = 0.3
RETRIES = 4  # of an endpoint that is overloaded or cannot be reached, with growing waits


class Consultant:
    """The language model of a run.

    Args:
        endpoint: where to ask, looked up when something is asked.
        model: the one that the run began with.
    """

    def __init__(self, endpoint: Callable[[], Endpoint], model: str) -> None:
        self._endpoint, self.model = endpoint, model

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
        with Chat(endpoint.model_copy(update={"retries": max(RETRIES, endpoint.retries)})) as chat:
            try:
                spoken = converse(chat, asked, TEMPERATURE)
            except ModeUnknown as error:
                return turn.model_copy(update={"problem": error.message, "mode_refused": True})
            except BadReply as error:
                return turn.model_copy(update={"problem": error.message})
        said = spoken.model_dump()
        return Turn.model_validate(turn.model_dump() | said)
