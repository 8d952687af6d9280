"""Answers a planner's inquiries for probes: by a language model, or with why there are none, and never by another."""

from collections.abc import Callable

from .interface import Inquiry
from .llm_endpoint import BadReply, Endpoint, refuse_other_model
from .llm_probes import write_probes
from .llm_written import WrittenProbes

CONCEPTS, PER_CONCEPT = 5, 4
TRIES = 3  # of a reply in another form than asked for, each with another seed
TEMPERATURE = 0.3


class ProbeWriter:
    """The language model that writes a run's probes.

    Args:
        endpoint: where to ask, looked up when something is asked: a run that has all its probes needs none.
        model: the one that the run began with.
        seed: asked for; a further try asks for the next one.
    """

    def __init__(self, endpoint: Callable[[], Endpoint], model: str, seed: int) -> None:
        self._endpoint, self.model, self._seed = endpoint, model, seed

    def write(self, inquiry: Inquiry) -> WrittenProbes:
        """What it wrote; without probes, and with the problem, where no reply could be used.

        Raises:
            EndpointError: no answer: nothing is known of what it would write.
            ToolError: the settings name another model by now.
            SettingError: they name none.
        """
        endpoint = self._endpoint()
        refuse_other_model(endpoint, self.model, "The probes of this run are written")
        problem = ""
        for seed in range(self._seed, self._seed + TRIES):
            try:
                return write_probes(
                    endpoint,
                    inquiry.prompt,
                    inquiry.target,
                    inquiry.contexts,
                    CONCEPTS,
                    PER_CONCEPT,
                    TEMPERATURE,
                    seed,
                    inquiry.words,
                )
            except BadReply as error:
                problem = error.message
        return WrittenProbes(
            probes=(),
            n_duplicates=0,
            model=self.model,
            temperature=TEMPERATURE,
            seed=self._seed + TRIES - 1,
            reply_digest="",
            problem=problem,
        )
