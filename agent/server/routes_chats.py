"""Asking: chats, their messages, and a person's word while an investigation runs."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from ...tools import Frozen, ToolError
from ..allowing import allowed_model
from ..approving import Decision
from ..budget import budget_of, prices_of
from ..chat.conversation import LONGEST
from ..chat.reading import UNDERSTOOD
from ..commands.asking import pairs_in
from ..endpoint import endpoint_of
from ..planners.interface import ContrastPair
from ..settings import Settings
from .chats import ChatInShort, Chats, ChatShown
from .job import Job
from .measuring import JobShown, shown
from .orders import MOST_PAIRS, ChatSettings, Hear, as_json
from .pool import Pool
from .problems import NotHere
from .routes_work import MEND, Handle

ChatName = Annotated[str, Path(description="Name of a chat.", max_length=64)]


class ChatList(Frozen):
    """The chats, and how a new one begins."""

    chats: tuple[ChatInShort, ...] = Field(description="The one used last first.")
    default: ChatSettings = Field(description="How a new one is investigated, where it says nothing else.")
    understood: tuple[str, ...] = Field(description="Forms of messages that are understood without a language model.")
    language_model: str = Field(description="The one that can plan; empty where none is set.")


class Message(Frozen):
    """A message of a chat."""

    said: str = Field(min_length=1, max_length=LONGEST, description="The message.")
    pairs: tuple[ContrastPair, ...] = Field(
        default=(), max_length=MOST_PAIRS, description="Contrast pairs, for a question about where something is."
    )


class MessageShown(Frozen):
    """A message that is on its way."""

    said: str = Field(description="The message.")
    job: JobShown = Field(description="Where it stands, and what came of it.")


class PairsFile(Frozen):
    """A file of contrast pairs."""

    name: str = Field(max_length=200, description="Its name; one that ends in .csv is read as CSV, others as JSON.")
    text: str = Field(description="What it holds.")


class Pairs(Frozen):
    """Contrast pairs."""

    pairs: tuple[ContrastPair, ...] = Field(description="One for each row.")


class Word(Frozen):
    """A person's word about what a run waits for."""

    key: str = Field(max_length=200, description="What it is about, as the event `waiting` names it.")
    decision: Decision = Field(description="What is to be done.")


class Raise(Frozen):
    """Limits to be raised."""

    budget: str = Field(min_length=3, max_length=200, description="As calls=80,seconds=900.")


def asking_routes(chats: Chats, pool: Pool, settings: Settings, default: ChatSettings) -> APIRouter:
    """Everything that a person needs to ask and to have a say.

    Args:
        settings: of the server; of the language model's endpoint only its name is ever told.
        default: how a chat is investigated that says nothing else.
    """
    router = APIRouter(prefix="/api", tags=["asking"])

    def checked(wanted: ChatSettings) -> ChatSettings:
        model = allowed_model(wanted.model, default.model, MEND)
        prices = prices_of(settings)
        budget_of(wanted.budget, prices)
        if wanted.planner == "llm":
            endpoint_of(settings)
        return wanted.model_copy(update={"model": model})

    @router.post("/pairs")
    def read_pairs(file: PairsFile) -> Pairs:
        """Read a file of contrast pairs, to be sent with a question; nothing is kept of it."""
        pairs = pairs_in(file.text, file.name)
        if len(pairs) > MOST_PAIRS:
            raise ToolError(f"{file.name} holds {len(pairs)} pairs.", mend=f"Send {MOST_PAIRS} at most.")
        found = Pairs(pairs=pairs)
        as_json(found)  # refuses here what could not be sent back
        return found

    @router.get("/chats")
    def list_chats() -> ChatList:
        """The chats, the one used last first."""
        language_model = endpoint_of(settings).model if settings.planner_url else ""
        return ChatList(chats=chats.list(), default=default, understood=UNDERSTOOD, language_model=language_model)

    @router.post("/chats", status_code=201)
    def begin(wanted: ChatSettings) -> ChatShown:
        """Begin a chat."""
        return chats.shown(chats.begin(checked(wanted)))

    @router.get("/chats/{name}")
    def chat(name: ChatName) -> ChatShown:
        """A chat with all that was said, and what is on its way."""
        return chats.shown(name)

    @router.post("/chats/{name}/settings")
    def change(name: ChatName, wanted: ChatSettings) -> ChatShown:
        """Change how the next questions of a chat are investigated; its model stays, for its answers are about it."""
        if wanted.model != (now := chats.settings(name).model):
            raise ToolError(f"The chat is about {now!r}, not {wanted.model!r}.", mend="Begin another chat.")
        chats.set(name, checked(wanted))
        return chats.shown(name)

    @router.post("/chats/{name}/messages", status_code=202)
    def say(name: ChatName, message: Message) -> JobShown:
        """Say something; the job tells what comes of it. The message is on disk before this is answered."""
        given = chats.settings(name)
        work = Hear(chat=name, said=message.said, pairs=message.pairs, settings=given)
        return shown(pool.submit(given.model, work), pool)

    @router.get("/chats/{name}/messages/{handle}")
    def message(name: ChatName, handle: Handle) -> MessageShown:
        """A message that is on its way: what was said, and where it stands."""
        job = _of(pool.job(handle), name)
        assert isinstance(job.order.work, Hear)
        return MessageShown(said=job.order.work.said, job=shown(job, pool))

    @router.post("/chats/{name}/messages/{handle}/decision", status_code=202)
    def decide(name: ChatName, handle: Handle, word: Word) -> JobShown:
        """Say what is to be done with what a run waits for: seal it, change it, or leave it out."""
        job = _of(pool.job(handle), name)
        pool.tell(job, {"key": word.key, "decision": word.decision.model_dump(mode="json")})
        return shown(job, pool)

    @router.post("/chats/{name}/messages/{handle}/budget", status_code=202)
    def raise_budget(name: ChatName, handle: Handle, more: Raise) -> JobShown:
        """Raise limits of the run that goes on."""
        job = _of(pool.job(handle), name)
        budget_of(more.budget, prices_of(settings))
        pool.tell(job, {"budget": more.budget})
        return shown(job, pool)

    return router


def _of(job: Job, chat: str) -> Job:
    if not isinstance(job.order.work, Hear) or job.order.work.chat != chat:
        raise NotHere(f"{job.handle} is no message of chat {chat!r}.", mend="Take a handle that the chat names.")
    return job
