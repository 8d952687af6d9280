"""What a message means, by fixed forms. What fits none is not guessed at.

Pure text: which run, row or claim a word stands for is found out by whoever does what was asked.
"""

import re
from collections.abc import Callable

from ..planners.reading import FORMS, form_of
from .turns import Action

UNDERSTOOD = (
    *FORMS,
    "And for WORD?              the last question with another word of the data",
    "Why?  Why c2?              what the answer, or a claim, rests on",
    "Where is the WORD held?    claims about what lies between prompt and answer",
    "What about layer 1?        or feature 1/92, or head.2.0",
    "Show me c2                 or m-1a2b3c4d, or the report",
    "How sure are you?          verdict, tier, figures, what was not judged",
    "What did you measure?      What did you not find?",
    "What would prompting alone have told?",
    "What do you remember about WORDS?     findings of earlier runs",
    "… in the first run, in the last one, in run NAME, in the WORD one",
)

_SITE = r"(?:resid_(?:pre|mid|post)|attn_out|mlp_out|mlp_in|head|embed)(?:\.\d+){0,2}"
_RUN = re.compile(
    r"[,\s]+(?:in|of|from|for)\s+(?:the\s+)?(?:(?P<nth>first|last|latest|newest|previous|earlier)(?:\s+(?:run|one))?"
    r"|run\s+(?P<name>\S+)|(?P<about>.+?)\s+(?:run|one))$",
    re.IGNORECASE,
)
_PAIRS = re.compile(r"\s*(?:,\s*)?(?:--pairs|with\s+(?:the\s+)?pairs(?:\s+(?:of|in|from))?)\s+(?P<file>.+?)\s*$")


def _about(found: re.Match[str]) -> Action:
    """What "and for X" or "what about X" is about, by what X looks like."""
    return _thing(found) or Action(do="swap", what=_bare(found["what"]))


def _thing(found: re.Match[str]) -> Action | None:
    """A part of a model or of a report."""
    what = _bare(found["what"])
    for do, pattern in _THINGS:
        if thing := re.fullmatch(pattern, what, re.IGNORECASE):
            return Action(do=do, what=thing[1].lower())  # pyright: ignore[reportArgumentType]  # `_THINGS` names these
    return None


_THINGS = (
    ("layer", r"(?:the\s+)?(?:layer|block)\s+(\d{1,4})"),
    ("feature", r"(?:the\s+)?(?:feature\s+)?(\d{1,4}/\d{1,9})"),
    ("show", r"(?:claim\s+)?(c\d{1,6})"),
    ("show", r"(?:measurement\s+)?(m-[0-9a-f]{4,64})"),
    ("report", r"(?:the\s+)?report()"),
    ("site", rf"(?:the\s+)?(?:site\s+)?`?({_SITE})`?"),
)


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:(?:and|so|ok|well)[\s,]+)?(?:{pattern})\s*[?.!]*", re.IGNORECASE | re.DOTALL)


def _plainly(do: str) -> Callable[[re.Match[str]], Action]:
    def action(found: re.Match[str]) -> Action:
        what = found.groupdict().get("what") or ""
        return Action(do=do, what=_bare(what))  # pyright: ignore[reportArgumentType]  # `_FORMS` names these

    return action


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Action | None]], ...] = (
    (_form(r"why(?:\s+(?:is\s+that|so|do\s+you\s+(?:say|think)\s+(?:so|that)))?"), _plainly("why")),
    (_form(r"why\s+(?:is\s+)?(?:claim\s+)?(?P<what>c\d{1,6})(?:\s+\w+)?"), _plainly("why")),
    (
        _form(
            r"(?:and\s+)?where\s+(?:is|are)\s+(?:the\s+)?(?P<what>[^?]{1,60}?)\s+"
            r"(?:held|stored|kept|represented|worked\s+out|found)"
        ),
        _plainly("held"),
    ),
    (_form(r"how\s+(?:sure|certain|confident)\s+(?:are\s+you|is\s+(?:that|this|it))"), _plainly("sure")),
    (_form(r"are\s+you\s+(?:sure|certain)"), _plainly("sure")),
    (_form(r"what\s+(?:did|have)\s+you\s+measured?"), _plainly("measured")),
    (_form(r"what\s+(?:did|have)\s+you\s+not\s+(?:find|found|measured?|looked?(?:\s+at)?)"), _plainly("missing")),
    (_form(r"what\s+(?:was|is)\s+not\s+(?:found|measured|looked\s+at)"), _plainly("missing")),
    (
        _form(r"what\s+would\s+(?:prompting|asking)(?:\s+alone)?\s+have\s+told(?:\s+(?:us|me|you))?"),
        _plainly("prompting"),
    ),
    (
        _form(r"what\s+do\s+you\s+(?:know|remember|recall)(?:\s+(?:about|of)\s+(?P<what>[^?]{1,200}?))?"),
        _plainly("recall"),
    ),
    (_form(r"(?:show|give)(?:\s+me)?\s+(?P<what>[^?]{1,80}?)"), _thing),
    (_form(r"(?:what|how)\s+about\s+(?P<what>[^?]{1,120}?)"), _about),
    (_form(r"(?:the\s+)?same(?:\s+question)?\s+(?:for|with)\s+(?P<what>[^?]{1,120}?)"), _about),
    (_form(r"(?:now\s+)?(?:for|with)\s+(?P<what>[^?]{1,120}?)(?:\s+instead)?"), _about),
    (_form(r"(?P<what>c\d{1,6}|m-[0-9a-f]{4,64})"), _thing),
)


def read_said(text: str) -> Action | None:
    """What a message asks for; none where it has no form that is read here."""
    said = " ".join(text.split())
    if action := _question(text.strip()):
        return action
    if found := _RUN.search(said.rstrip(" ?.!")):
        which = found["nth"] or found["name"] or found["about"]
        before = said[: found.start()]
        if action := _follow_up(before):
            return action.model_copy(update={"run": _bare(which).lower()})
    return _follow_up(said)


def _question(text: str) -> Action | None:
    """A whole question, in a form that the planner reads; whether it can be put is found out when it is."""
    file = ""
    if found := _PAIRS.search(text):
        file, text = found["file"], text[: found.start()]
    return Action(do="investigate", question=text, pairs_from=file) if form_of(text) else None


def _follow_up(said: str) -> Action | None:
    for pattern, action in _FORMS:
        if (found := pattern.fullmatch(said)) and (read := action(found)):
            return read
    return None


def _bare(text: str) -> str:
    return text.strip(" \t'\"`‘’“”«»?.!,")
