"""A conversation with an OpenAI-compatible endpoint: messages and functions go out, words and calls come back.

Asked for as a stream, so that one that breaks off is told from one that ended; a server that sends it in one piece is
understood as well. Whatever comes is data: bounded in size and time, parsed strictly, and nothing in it is obeyed here.
"""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from ...tools import Frozen
from .llm_endpoint import LONGEST_NAME, BadReply, Chat, Refused, bad_reply, first_of
from .llm_turns import MOST_WRITTEN, Call, Consultation

CHARACTERS_PER_TOKEN = 4  # where a server does not count
MOST_CALLS = 16  # of one reply
LONGEST_STREAM = 4_000_000  # bytes: a stream spends some hundreds on every token
LONGEST_SAID = 100_000  # characters of words and arguments together
DATA, DONE = "data:", "[DONE]"
LINE = re.compile(r"\r\n|\n|\r")  # a stream's; other breaks of Unicode may stand in the words


class ModeUnknown(BadReply):
    """The endpoint refuses a request of this mode: it is to be asked in the next one."""


class TooLong(BadReply):
    """The endpoint takes no conversation of this length: it is to be asked with a shorter one."""


class NotTaken(BadReply):
    """The endpoint refuses this request, and took others of its mode: what is wrong is in the request."""


class Spoken(Frozen):
    """A reply."""

    content: str
    calls: tuple[Call, ...]
    model: str
    tokens_in: int
    tokens_out: int
    estimated: bool


def _as_text(given: Any) -> Any:
    """Servers send arguments as an object too."""
    return json.dumps(given) if isinstance(given, dict | list) else given


def _words(given: Any) -> Any:
    """Servers send words as a list of parts too; what is no text in it is left out."""
    if not isinstance(given, list):
        return given
    said = (one.get("text") for one in given if isinstance(one, dict))
    return "".join(one for one in said if isinstance(one, str))


def _count(given: Any) -> int:
    """A number of tokens; nothing where it is none that can be."""
    return given if type(given) is int and given > 0 else 0


def _usage(given: Any) -> Any:
    return given if isinstance(given, dict) else None


class _Function(BaseModel):
    name: str | None = None
    arguments: Annotated[str | None, BeforeValidator(_as_text)] = None


class _Part(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _Function = Field(default_factory=_Function)


class _Said(BaseModel):
    content: Annotated[str | None, BeforeValidator(_words)] = None
    tool_calls: tuple[_Part, ...] | None = None


class _Choice(BaseModel):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: Annotated[int, BeforeValidator(_count)] = 0
    completion_tokens: Annotated[int, BeforeValidator(_count)] = 0


class _Chunk(BaseModel):
    """What is read of a completion, or of a piece of one; servers add much else."""

    model: str | None = None
    choices: tuple[_Choice, ...] = ()
    usage: Annotated[_Usage | None, BeforeValidator(_usage)] = None


def converse(chat: Chat, asked: Consultation, temperature: float) -> Spoken:
    """Ask, and read the reply.

    Raises:
        EndpointError: no answer.
        ModeUnknown: the endpoint takes no functions, or holds itself to no form.
        TooLong: the conversation is longer than it can read, and a shorter one can be made.
        NotTaken: the request is refused, and others of its mode were not.
        BadReply: a reply that is none, that breaks off, or that is too long.
    """
    request: dict[str, Any] = {
        "messages": list(asked.messages),
        "temperature": temperature,
        "seed": asked.seed,
        "max_tokens": asked.longest_reply,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if asked.mode == "native":
        request["tools"] = tools_of(asked.functions)
    elif asked.mode == "json":
        request["response_format"] = {"type": "json_object"}
    try:
        answer = chat.post(request, LONGEST_STREAM)
    except Refused as refused:
        found = _meant(refused, asked)
        if found is None:
            raise
        raise found from None
    return _spoken(answer, chat.endpoint.model, request)


def tools_of(functions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Functions as chat completions list them."""
    return [{"type": "function", "function": one} for one in functions]


def _meant(refused: Refused, asked: Consultation) -> BadReply | None:
    """What a refusal says of the request; none where it says no more than that there is no answer."""
    if refused.too_long and asked.may_shorten:
        return TooLong("The endpoint takes no conversation of this length.", mend="Ask with a shorter one.")
    if refused.too_long or asked.proven:
        why = "this conversation is too long for it" if refused.too_long else "though it took others of its kind"
        return NotTaken(f"The endpoint does not take this request: {why}.", mend="Ask for something else.")
    if asked.mode == "text":
        return None
    return ModeUnknown(f"The endpoint does not take requests of mode {asked.mode}.", mend="Ask in the next mode.")


def _spoken(body: bytes, model: str, request: dict[str, Any]) -> Spoken:
    chunks, whole = _chunks(body)
    content, parts, finished = list[str](), _Parts(), False
    usage: _Usage | None = None
    for chunk in chunks:
        model, usage = _named(chunk.model) or model, chunk.usage or usage
        for choice in chunk.choices[:1]:
            finished = finished or whole or choice.finish_reason is not None
            said = choice.delta or choice.message or _Said()
            content.append(said.content or "")
            for part in said.tool_calls or ():
                parts.add(part, starts=choice.delta is None)
    if not finished:
        raise bad_reply("it breaks off")
    calls, words = parts.calls, "".join(content)
    if len(calls) > MOST_CALLS:
        raise bad_reply(f"it calls {len(calls)} functions, and at most {MOST_CALLS} are read")
    written = words + "".join(call.name + call.arguments for call in calls)
    if len(written) > LONGEST_SAID:
        raise bad_reply(f"it says {len(written)} characters, and at most {LONGEST_SAID} are read")
    counted = _counted(usage, len(json.dumps(request)), len(body))
    estimate = _Usage(
        prompt_tokens=len(json.dumps(request)) // CHARACTERS_PER_TOKEN,
        completion_tokens=len(written) // CHARACTERS_PER_TOKEN,
    )
    told = counted or estimate
    return Spoken(
        content=words,
        calls=calls,
        model=model,
        tokens_in=told.prompt_tokens,
        tokens_out=told.completion_tokens,
        estimated=counted is None,
    )


class _Parts:
    """Calls, put together from the pieces of a stream."""

    def __init__(self) -> None:
        self._found: list[_Part] = []

    def add(self, part: _Part, starts: bool) -> None:
        """Take a piece.

        Args:
            starts: whether it is a call of its own: in one piece, servers number none.
        """
        place = None if starts else self._place(part)
        if place is None:
            self._found.append(part)
        else:
            self._found[place] = _joined(self._found[place], part)

    def _place(self, part: _Part) -> int | None:
        """Which call a piece goes on with: the last of its number, if it does not bring an id of its own."""
        for place in reversed(range(len(self._found))):
            before = self._found[place]
            if part.index is None or before.index == part.index:
                other = part.id and before.id and part.id != before.id
                return None if other and part.function.name else place
        return None

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls, in order."""
        numbered = sorted(self._found, key=lambda part: part.index or 0)
        return tuple(
            Call(id=part.id or f"call-{i}", name=part.function.name or "", arguments=part.function.arguments or "")
            for i, part in enumerate(numbered)
        )


def _named(model: str | None) -> str:
    """The model's name, if it is one."""
    return model if model and len(model) <= LONGEST_NAME and model.isprintable() else ""


def _counted(usage: _Usage | None, sent: int, received: int) -> _Usage | None:
    """What the server counted; none where it did not, or where there were fewer characters than that."""
    if usage is None or not usage.prompt_tokens:
        return None
    return usage if usage.prompt_tokens <= sent and usage.completion_tokens <= MOST_WRITTEN + received else None


def _chunks(body: bytes) -> tuple[list[_Chunk], bool]:
    """The pieces of a reply, and whether it came in one."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise bad_reply("it is no UTF-8") from error
    lines = [line for line in LINE.split(text) if line.startswith(DATA)]
    if not lines:
        return [_chunk(text)], True
    said = (line.removeprefix(DATA).strip() for line in lines)
    return [_chunk(one) for one in said if one != DONE], False


def _chunk(text: str) -> _Chunk:
    try:
        return _Chunk.model_validate_json(text)
    except ValidationError as error:
        raise bad_reply(f"the server sent no chat completion: {first_of(error)}") from None


def _joined(so_far: _Part | None, more: _Part) -> _Part:
    if so_far is None:
        return more
    name = (so_far.function.name or "") + (more.function.name or "")
    arguments = (so_far.function.arguments or "") + (more.function.arguments or "")
    return _Part(index=so_far.index, id=so_far.id or more.id, function=_Function(name=name, arguments=arguments))
