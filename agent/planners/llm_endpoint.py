"""An OpenAI-compatible endpoint: one question, one answer, bounded in time and size, taken as data.

The key goes into the request and nowhere else: no error, log or file that is written here has it, and what a library
says of a failed request is not passed on, for it may quote the request.
"""

import ipaddress
import time
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from ...tools import Frozen, ToolError
from .llm_refusals import REFUSED, is_too_long, refused_parameter, without

if TYPE_CHECKING:
    import openai

LONGEST_REPLY = 200_000  # bytes
LONGEST_NAME = 200  # characters of a model's name
_learnt: dict[tuple[str, str], frozenset[str]] = {}  # parameters that an address and model refuse, found out once


class EndpointError(ToolError):
    """The endpoint gave no answer; nothing was learned from it, and it can be asked again."""


class Refused(EndpointError):
    """The endpoint answered that it does not take such a request.

    Args:
        parameter: what it does not take of it, if a request can do without.
        too_long: whether it is the length of the conversation.
    """

    def __init__(self, error: EndpointError, parameter: str, too_long: bool) -> None:
        super().__init__(error.message, mend=error.mend)
        self.parameter, self.too_long = parameter, too_long


class BadReply(ToolError):
    """The endpoint answered, in another form than it was asked for."""


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("is no address such as http://127.0.0.1:8000/v1")
    return url


def _one_word(key: SecretStr) -> SecretStr:
    value = key.get_secret_value()
    # A header cannot carry others, and the libraries below quote what they could not send.
    if not (value and value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("is empty, or holds a space, a line break or a character beyond ASCII")
    return key


def one_line(text: str) -> str:
    """The text, for a validator.

    Raises:
        ValueError: it has a line break or another character that cannot be printed.
    """
    if not text.isprintable():
        raise ValueError("holds a line break or another character that cannot be printed")
    return text


ModelName = Annotated[str, StringConstraints(max_length=LONGEST_NAME), AfterValidator(one_line)]


class Endpoint(Frozen):
    """Where a language model answers, and how patient to be with it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_address)] = Field(description="Base URL of an OpenAI-compatible endpoint.")
    model: ModelName = Field(min_length=1, description="Model to ask there.")
    api_key: Annotated[SecretStr, AfterValidator(_one_word)] = Field(
        default=SecretStr("none"), description="Key; servers of one's own mostly need none."
    )
    timeout_s: float = Field(default=60, gt=0, description="Longest wait for each answer (seconds).")
    retries: int = Field(
        default=2, ge=0, le=10, description="Further tries where it is overloaded or cannot be reached (count)."
    )

    @property
    def shown(self) -> str:
        """The address without what a URL may carry beside it, such as a password."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def is_loopback(url: str) -> bool:
    """Whether an address is of this machine, where servers mostly ask for no key."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    """What is read of a chat completion; servers add much else."""

    model: ModelName
    choices: tuple[_Choice, ...] = Field(min_length=1)


class Reply(Frozen):
    """What a language model wrote."""

    content: str
    model: str = Field(description="Model that the endpoint says it asked, or else the one that it was asked for.")
    temperature: float | None = Field(description="As it was asked for; none where the endpoint takes none.")


class Chat:
    """Asks an endpoint, from as many threads as like; a context manager.

    A parameter that the endpoint refuses, and that a request can do without, is left out from then on.

    Args:
        left_out: parameters that it is known to refuse.
    """

    def __init__(self, endpoint: Endpoint, left_out: Collection[str] = ()) -> None:
        self.endpoint = endpoint
        self._key = (endpoint.base_url, endpoint.model)
        self.left_out = _learnt.get(self._key, frozenset()) | frozenset(left_out)

    def __enter__(self) -> "Chat":
        import openai  # most of a second, which only who asks should wait for

        self._client = openai.OpenAI(
            base_url=self.endpoint.base_url,
            api_key=self.endpoint.api_key.get_secret_value(),
            timeout=self.endpoint.timeout_s,
            max_retries=self.endpoint.retries,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(self, rules: str, about: str, temperature: float, seed: int) -> Reply:
        """One answer.

        Args:
            rules: What it is to do.
            about: What it is to do it with; data.

        Raises:
            EndpointError: no answer.
            BadReply: no chat completion, or one too long.
        """
        messages = [{"role": "system", "content": rules}, {"role": "user", "content": about}]
        body = self.post({"messages": messages, "temperature": temperature, "seed": seed})
        return self._reply(body, None if "temperature" in self.left_out else temperature)

    def post(self, request: dict[str, Any], longest: int = LONGEST_REPLY) -> bytes:
        """The body of what it answers, whatever it is.

        Args:
            request: All of a chat completion but the model.
            longest: How much is read (bytes).

        Raises:
            Refused: it takes no such request, whatever is left out.
            EndpointError: no answer.
            BadReply: one too long.
        """
        left_out = self.left_out
        while True:
            sent = without(request, left_out)
            try:
                body = self._posted(sent, longest)
            except Refused as refused:
                if not refused.parameter:
                    raise
                left_out |= {refused.parameter}
                continue
            # Only now is it known that this was what had to be left out.
            self.left_out = _learnt[self._key] = left_out
            return body

    def _posted(self, request: dict[str, Any], longest: int) -> bytes:
        import httpx2  # what the library asks with, and whose errors it passes on while an answer is read
        import openai

        try:
            return self._body(self._client, request, longest)
        except openai.APIStatusError as error:
            found = self._no_answer(f"answered with status {error.status_code}")
            if error.status_code not in REFUSED:
                raise found from None
            parameter = refused_parameter(error.body, request)
            raise Refused(found, parameter, is_too_long(error.status_code, error.body)) from None
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise self._no_answer(f"gave no answer within {self.endpoint.timeout_s:g} s") from None
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise self._no_answer(f"gave no usable answer ({type(error).__name__})") from None

    def _body(self, client: "openai.OpenAI", request: dict[str, Any], longest: int) -> bytes:
        """As it comes, because the library makes an object of any body, whatever and how much is in it."""
        started, body = time.monotonic(), bytearray()
        # `create` has a type for each shape of request; what is asked here comes from elsewhere.
        create: Any = client.chat.completions.with_streaming_response.create
        with create(model=self.endpoint.model, **request) as answer:
            for part in answer.iter_bytes():
                body += part
                if len(body) > longest:
                    raise bad_reply(f"it is longer, and at most {longest} are read (bytes)")
                if time.monotonic() - started > self.endpoint.timeout_s * (1 + self.endpoint.retries):
                    raise self._no_answer("sends its answer too slowly")
        return bytes(body)

    def _reply(self, body: bytes, temperature: float | None) -> Reply:
        try:
            read = _Completion.model_validate_json(body)
        except ValidationError as error:
            raise bad_reply(f"the server sent no chat completion: {first_of(error)}") from None
        content, model = read.choices[0].message.content, read.model or self.endpoint.model
        return Reply(content=content, model=model, temperature=temperature)

    def _no_answer(self, what: str) -> EndpointError:
        return EndpointError(
            f"The language model at {self.endpoint.shown} {what}.",
            mend="Check the server, the model's name and the key.",
        )


def refuse_other_model(endpoint: Endpoint, model: str, what: str) -> None:
    """A run goes on with the language model that it began with.

    Args:
        what: what that one does, such as `This run is planned`.

    Raises:
        ToolError: the endpoint is of another model.
    """
    if endpoint.model != model:
        raise ToolError(
            f"{what} by `{model}`, and the settings name `{endpoint.model}`.",
            mend=f"Set VESALIUS_PLANNER_MODEL={model}, or ask the question anew.",
        )


def bad_reply(why: str, due: str = "It must be a chat completion as OpenAI's API has it, and short") -> BadReply:
    """That a reply is not what was asked for, and what is due."""
    return BadReply(
        f"The language model's reply cannot be used: {why}.", mend=f"{due}: ask again, with another seed or model."
    )


def first_of(error: ValidationError) -> str:
    """What is wrong, without quoting what was sent."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"`{where}`: {first['msg']}" if where else first["msg"]
