"""The bench where an investigation's experiments run: a subject and its twins, measured once each."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..tools import Measurement, SubjectKey, ToolArgs, ToolError, dictionary_of, get_tool, measurement_id
from .planners.interface import SubjectCard
from .runs import RunFolder

if TYPE_CHECKING:
    from ..tools import Dictionary, Subject

Report = Callable[[int, int, str], None]
Finder = Callable[[str], Measurement | None]
"""Finds a request, by its id, among measurements that were made before this run."""


class Bench:
    """Runs tools on one subject and its twins, and never runs the same request twice.

    Args:
        earlier: where requests are looked for that this run has not made; by default nowhere. It has to keep back what
            is to confirm a sealed prediction: the bench does not know what a measurement is for.
    """

    def __init__(self, subject: "Subject", folder: RunFolder, earlier: Finder | None = None) -> None:
        self.subject, self.folder, self.earlier = subject, folder, earlier
        self._twins: dict[int, Subject] = {}

    def measure(
        self, tool: str, args: dict[str, Any], twin_seed: int | None, progress: Report
    ) -> tuple[Measurement, bool]:
        """The measurement asked for, and whether it had been made before.

        Raises:
            ToolError: the tool cannot run as asked, or ran before on a dictionary that is no longer the same.
        """
        instrument = get_tool(tool)
        parsed = instrument.parse(args)
        wanted = self.id_of(tool, args, twin_seed)
        kept = self.folder.kept(wanted)
        if kept is not None:
            self._refuse_other_dictionary(kept)
            return kept, True
        if (found := self._made_before(wanted, tool, parsed, twin_seed)) is not None:
            self.folder.keep(found)
            return found, True
        measurement = instrument.measure(self._subject(twin_seed), parsed, progress)
        assert measurement.id == wanted, f"{measurement.id} was measured where {wanted} was asked"
        self.folder.keep(measurement)
        return measurement, False

    def _made_before(self, wanted: str, tool: str, args: ToolArgs, twin_seed: int | None) -> Measurement | None:
        """The measurement of an earlier run, where it is of this very request: an id is short, and two could meet."""
        found = None if self.earlier is None else self.earlier(wanted)
        if found is None or found.tool != tool or found.args != args.model_dump(mode="json"):
            return None
        mine = self._key(twin_seed)
        same_weights = (found.subject.fingerprint, found.subject.reinit_seed) == (mine.fingerprint, mine.reinit_seed)
        return found if same_weights and not self._is_of_other_dictionary(found) else None

    def _refuse_other_dictionary(self, kept: Measurement) -> None:
        if self._is_of_other_dictionary(kept):
            raise ToolError(
                f"The dictionary `{kept.args['dictionary']}` of {self.subject.name} has changed since this run began.",
                mend="Restore it, or ask the question again: what was measured holds for the old one alone.",
            )

    def _is_of_other_dictionary(self, kept: Measurement) -> bool:
        """A request names its dictionary, not the dictionary's content, which may have been trained anew since."""
        then = kept.result.get("dictionary_digest")
        if then is None:
            return False
        is_twin = kept.subject.reinit_seed is not None
        subject = self._subject(kept.subject.reinit_seed)
        force = kept.args["force_dictionary"]
        return dictionary_of(subject, kept.args["dictionary"], on_twin=is_twin, force=force).digest != then

    def id_of(self, tool: str, args: dict[str, Any], twin_seed: int | None) -> str:
        """The id that a measurement will have, known before it runs."""
        return request_id(tool, args, self._key(twin_seed))

    def _key(self, twin_seed: int | None) -> SubjectKey:
        return self.subject.key.model_copy(update={"reinit_seed": twin_seed})

    def _subject(self, twin_seed: int | None) -> "Subject":
        if twin_seed is None:
            return self.subject
        if twin_seed not in self._twins:
            self._twins[twin_seed] = self.subject.twin(twin_seed)
        return self._twins[twin_seed]


def request_id(tool: str, args: dict[str, Any], subject: SubjectKey) -> str:
    """The id of a request: defaults filled in, as the measurement itself will have it."""
    return measurement_id(tool, get_tool(tool).parse(args).model_dump(mode="json"), subject)


MOST_WORDS = 3000
NO_WORD = "qzxvwk"


def closed_vocabulary(subject: "Subject") -> tuple[str, ...]:
    """Every word that the subject can read, where these are all it can read and few; else none."""
    try:
        subject.tokenise([NO_WORD])
        return ()
    except ToolError:
        special = subject.reader.special_ids
        ids = [i for i in range(min(len(subject.tokenizer), subject.shape.n_vocab)) if i not in special]
    words = (text.strip() for text in subject.reader.token_strings(ids) if text.strip())
    return tuple(sorted(dict.fromkeys(words))) if len(ids) <= MOST_WORDS else ()


def trained_dictionary(subject: "Subject") -> "Dictionary | None":
    """The dictionary that came with the subject; none where there is none or it was trained on other weights."""
    try:
        return dictionary_of(subject)
    except ToolError:
        return None


def card_of(subject: "Subject") -> SubjectCard:
    """What a planner may know of a subject."""
    shape, dictionary = subject.shape, trained_dictionary(subject)
    return SubjectCard(
        key=subject.key,
        n_layers=shape.n_layers,
        n_heads=shape.n_heads,
        n_vocab=shape.n_vocab,
        parallel=shape.parallel,
        dictionary=None if dictionary is None else dictionary.name,
        dictionary_digest=None if dictionary is None else dictionary.digest,
        tasks=subject.tasks,
        n_texts=len(subject.texts),
        words=closed_vocabulary(subject),
    )
