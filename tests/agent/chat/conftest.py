"""Chats about the reference model: one finished investigation is shared, and quick ones ask where a behaviour is."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from finished_runs import Finished
from vesalius.agent.chat.conversation import Conversation
from vesalius.agent.chat.history import History, open_history
from vesalius.agent.chat.investigating import Lab
from vesalius.agent.chat.terminal import Terminal
from vesalius.agent.chat.turns import Line, Reply, Turn
from vesalius.agent.settings import read_settings
from vesalius.tools import Subject

ANSWERS = {"hot": "cold", "big": "small", "fast": "slow", "high": "low", "hard": "soft", "wet": "dry", "light": "dark"}
PAIRS = [
    {"clean": f"the opposite of {a} is", "corrupted": f"the opposite of {b} is", "answer": ANSWERS[a], "foil": foil}
    for (a, _), (b, foil) in pairwise(ANSWERS.items())
]


class Chat:
    """A conversation with what it told beside its replies."""

    def __init__(self, lab: Lab, history: History) -> None:
        self.lab, self.history, self.told = lab, history, list[Line]()
        self.conversation = Conversation(lab, history, self.told.extend)

    def say(self, said: str) -> Reply:
        return self.conversation.hear(said)

    def text(self, said: str) -> str:
        """The reply's lines as one text."""
        return "\n".join(line.text for line in self.say(said).lines)


OpenChat = Callable[..., Chat]


@pytest.fixture
def open_chat(atlas: Subject, tmp_path: Path) -> Iterator[OpenChat]:
    """Opens chats whose histories lie in this test's folder, whatever the home of their runs."""
    opened = []

    def chat(home: Path = tmp_path, name: str = "test", subject: Subject = atlas, **settings: Any) -> Chat:
        given = read_settings(home=home, device="cpu", **settings)
        terminal = Terminal(given, as_json=False)
        terminal.console.quiet = True
        lab = Lab(given, subject, terminal, use_memory=False)
        context = open_history(tmp_path, name)
        opened.append(context)
        return Chat(lab, context.__enter__())

    yield chat
    for context in reversed(opened):
        context.__exit__(None, None, None)


@pytest.fixture
def about_dallas(open_chat: OpenChat, home: Path, dallas: Finished) -> Chat:
    """A chat in which the shared investigation was asked."""
    chat = open_chat(home)
    question = dallas.report.question
    chat.history.close(
        Turn(said=question, reply=Reply(kind="investigated", understood=question, run=dallas.folder.name))
    )
    return chat


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    """Contrast pairs of opposites."""
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(PAIRS))
    return path
