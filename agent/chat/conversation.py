"""A conversation: each message is understood, acted on, answered and written down."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...memory import RememberError
from ...tools import ToolError
from ..budget import budget_of, prices_of
from ..commands.understanding import NO, YES, in_a_line
from ..endpoint import endpoint_of
from ..failing import SettingError, WaitsForApproval
from ..ledger import LedgerError
from ..planners.interface import ContrastPair
from ..planners.llm_turns import Turn as TurnOfModel
from ..planners.reading import FORMS, TAKING_PAIRS, form_of
from ..purse import Purse
from ..report._text import visible
from ..report.schema import UnreadableReport
from ..runs import Put, UnknownRun, UnreadableFile
from ..translating import Heard, Said, Understood, is_worth_asking, translate
from .commands import PAIRS_IN, is_command, is_there, read_command
from .doing import Ambiguous, Doing, Tell
from .history import History
from .reading import UNDERSTOOD, read_said
from .talked_about import Runs
from .turns import Action, Line, Option, Reply, Turn, asking_back, plain, refused

if TYPE_CHECKING:
    from .investigating import Lab

MENDABLE = (
    *(ToolError, RememberError, LedgerError, UnknownRun, UnreadableFile, UnreadableReport),
    *(SettingError, WaitsForApproval, OSError),
)
PATH = re.compile(r"(?:/|~|\.\.?/)|\S*/\S*$")  # how one begins, or one word with a slash in it
LONGEST = 10_000  # characters of a message


class Conversation:
    """One chat: what was said lies in its history, what was measured in its runs.

    Args:
        tell: shows what is said before an investigation begins.
        reads_files: whether a message may name a file or folder of this machine; not where who writes it sits
            elsewhere.
    """

    def __init__(self, lab: "Lab", history: History, tell: Tell, reads_files: bool = True) -> None:
        self.lab, self.history, self.tell, self.reads_files = lab, history, tell, reads_files
        self._order = ""

    def hear(self, said: str, pairs: tuple[ContrastPair, ...] = (), order: str = "") -> Reply:
        """The reply to a message; what a person can mend is part of it, and only our own mistakes are raised.

        Args:
            pairs: contrast pairs that came with it, for a question about where something is computed.
            order: names what brought the message; a message that came with the same before is not answered again, and
                an investigation of it that was cut off is gone on with.
        """
        self._order = order
        if order and (turn := self.history.ended_of(order)) is not None:
            return turn.reply
        if order and (reply := self._gone_on_with(order)) is not None:
            return reply
        if not said.isprintable():
            said = " ".join(visible(said, keep_lines=True).split())
        self.history.settle()
        return self._answered(said, lambda: self._with_pairs(said, pairs) if pairs else self._reply(said))

    def _gone_on_with(self, order: str) -> Reply | None:
        turn = self.history.take_up(order)
        if turn is None:
            return None
        return self._answered(turn.said, lambda: self._doing(turn.said).go_on(turn.reply.run))

    def _answered(self, said: str, reply_to: Callable[[], Reply]) -> Reply:
        try:
            reply = reply_to()
        except Ambiguous as ambiguous:
            reply = ambiguous.reply
        except MENDABLE as error:
            reply = self._failed(error)
        if reply.kept:
            self.history.close(Turn(said=said[:LONGEST], reply=reply, order=self._order))
        return reply

    def _failed(self, error: Exception) -> Reply:
        """What cannot be done; a run that was on its way can be taken up again."""
        under_way = self.history.under_way
        if under_way is None:
            return refused(error)
        run = under_way.reply.run
        lines = plain(str(error), f"Nothing measured is lost: /resume goes on with run {run}.", style="yellow")
        return under_way.reply.model_copy(update={"lines": lines})

    def _reply(self, said: str) -> Reply:
        if len(said) > LONGEST:
            raise ToolError(f"The message has {len(said)} characters.", mend=f"Say it in {LONGEST}.")
        if is_command(said):
            return self._done(said, read_command(said))
        if action := self._chosen(said) or read_said(said):
            return self._done(said, action)
        return self._translated(said)

    def _done(self, said: str, action: Action) -> Reply:
        if action.pairs_from and not self.reads_files:
            raise ToolError("Files are not read by their names here.", mend="Send the pairs with the question.")
        return self._doing(said).do(action)

    def _doing(self, said: str) -> Doing:
        return Doing(self.lab, self.history, said[:LONGEST], self.tell, self._order, anywhere=self.reads_files)

    def _with_pairs(self, said: str, pairs: tuple[ContrastPair, ...]) -> Reply:
        """An investigation with pairs: of the question they came with, or else of the one that they were asked for."""
        if form_of(said) in (*TAKING_PAIRS, "trigger"):
            return self._done(said, Action(do="investigate", question=said, pairs=pairs))
        asked = self._open_question()
        if asked is None or not asked.wants_pairs:
            raise ToolError(
                "Pairs came without a question that takes them.",
                mend=f"Send them with one of this form: {FORMS[1].partition('  ')[0]}",
            )
        return self._done(said, Action(do="investigate", question=asked.wants_pairs, pairs=pairs))

    def _open_question(self) -> Reply | None:
        """What was asked back last; a choice that there is not leaves the question open."""
        return next((turn.reply for turn in reversed(self.history.turns) if turn.reply.kind != "refused"), None)

    def _chosen(self, said: str) -> Action | None:
        """What a message means as the answer to what was asked back; none where it is something else."""
        if (asked := self._open_question()) is None:
            return None
        if asked.wants_pairs:
            if NO.fullmatch(said):
                return Action(do="nothing")
            file = said.strip("'\"")
            # A message that can be understood is no path because it has a slash in it.
            is_named = self.reads_files and is_there(file)
            is_path = is_named or (read_said(said) is None and _looks_like_path(file))
            return Action(do="investigate", question=asked.wants_pairs, pairs_from=file) if is_path else None
        if not asked.options:
            return None
        if NO.fullmatch(said):
            return Action(do="nothing")
        if said.isdecimal():
            return _numbered(int(said), asked.options)
        if len(asked.options) == 1:
            return asked.options[0].action if YES.fullmatch(said) else None
        words = re.compile(rf"\b{re.escape(said.strip(' .?!'))}\b", re.IGNORECASE)
        named = [option for option in asked.options if len(said) > 2 and words.search(option.label)]
        return named[0].action if len(named) == 1 else None

    def _translated(self, said: str) -> Reply:
        """A message of no known form: put into one by a language model, where one is set, and shown first."""
        settings, heard = self.lab.settings, Heard()
        problem = "This fits none of the forms that are read here."
        if settings.planner == "llm" and is_worth_asking(said):
            endpoint = endpoint_of(settings)
            prices = prices_of(settings)
            purse = Purse(budget_of(settings.budget, prices), prices)
            heard = translate(endpoint, self._with_context(said), self.lab.subject.tasks, settings.seed, purse)
            if heard.understood is not None:
                return _to_confirm(said, heard.understood, endpoint.model, heard.turns)
            problem = f"{problem} {heard.problem}"
        lines = (Line(text=problem, style="yellow"), *plain("Understood is:"), *plain(*UNDERSTOOD, indent=2))
        return Reply(kind="not_understood", lines=lines, calls=len(heard.turns))

    def _with_context(self, said: str) -> Said:
        """A message with the last question, and the claims that it may be about."""
        runs = Runs(self.lab.settings.home, self.history.turns, self.lab.subject.key, self.reads_files)
        if not runs.focus:
            return Said(words=said)
        claims = runs.report(runs.focus).claims if runs.ended(runs.focus) else ()
        return Said(words=said, last=runs.question(runs.focus), claims=tuple(claim.id for claim in claims))


def _looks_like_path(text: str) -> bool:
    return PATH.match(text) is not None or text.endswith(PAIRS_IN)


def _numbered(number: int, options: tuple[Option, ...]) -> Action:
    if not 1 <= number <= len(options):
        raise ToolError(f"There is no choice {number}.", mend=f"Give 1..{len(options)}, or `no`.")
    return options[number - 1].action


def _to_confirm(said: str, found: Understood, model: str, turns: tuple[TurnOfModel, ...]) -> Reply:
    """What a language model made of a message, all of it, for a yes before anything runs."""
    pairs = plain(*map(in_a_line, found.pairs), indent=4)
    if found.claim:
        what, action = f"show {found.claim}", Action(do="show", what=found.claim)
    else:
        put = Put(words=said, by=model, agreed=True, wrote_pairs=bool(found.pairs), turns=turns)
        because, what = f"as {model} read it", found.question
        action = Action(do="investigate", question=what, pairs=found.pairs, put=put, because=because)
    option = Option(label=visible(what), action=action)
    asked = asking_back(f"{visible(model)} understands this as:", (option,), calls=len(turns))
    head, option, how = asked.lines
    return asked.model_copy(update={"lines": (head, option, *pairs, how)})
