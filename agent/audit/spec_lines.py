"""YAML of which every value knows its line, so that an error can point at it."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from ..runs import UnreadableFile

PLAIN_INT, PLAIN_BOOL = re.compile(r"-?(0|[1-9]\d{0,17})"), re.compile(r"[Tt]rue|[Ff]alse")
NOTHING = re.compile(r"(?!)")
MOST_CHARACTERS = 1_000_000
MOST_NODES = 100_000  # with what aliases repeat: a few lines of them can stand for more than memory holds


class Lined:
    """What a YAML text holds, and where each part of it stands.

    Args:
        text: the whole file.
        name: how a message calls it.

    Raises:
        UnreadableFile: no YAML, a key that comes twice, or more than is read.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        if len(text) > MOST_CHARACTERS:
            raise UnreadableFile(f"{name} has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read.")
        try:
            loader = yaml.SafeLoader(text)
        except yaml.YAMLError as error:  # a character that no YAML has
            raise UnreadableFile(f"{name}: {' '.join(str(error).split())}.") from error
        try:
            self._node = loader.get_single_node()
            self._refuse_hostile(self._node)
            self.data: Any = None if self._node is None else loader.construct_document(self._node)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            raise UnreadableFile(f"{name}{where}: {getattr(error, 'problem', None) or error}.") from error
        except RecursionError as error:
            raise UnreadableFile(f"{name} is nested too deep.") from error
        except UnreadableFile:
            raise
        except ValueError as error:  # a date that there is not, a number of thousands of digits
            raise UnreadableFile(f"{name} holds a value that is none of its kind: {error}.") from error
        finally:
            loader.dispose()

    def place(self, path: Sequence[int | str]) -> str:
        """Where a value stands: the file, the line, and its path; that of what holds it where it is not there."""
        node = self._node
        for step in path:
            below = _below(node, step)
            if below is None:
                break
            node = below
        line = f", line {node.start_mark.line + 1}" if node is not None else ""
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        return f"{self.name}{line}" + (f", `{steps.removeprefix('.')}`" if steps else "")

    def _refuse_hostile(self, root: yaml.Node | None) -> None:
        waiting, seen = [root] if root is not None else [], 0
        while waiting:
            node, seen = waiting.pop(), seen + 1
            if seen > MOST_NODES:
                raise UnreadableFile(f"{self.name} holds more than {MOST_NODES:,} values, aliases written out.")
            if isinstance(node, yaml.MappingNode):
                self._refuse_repeats(node)
                waiting += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                waiting += node.value
            elif isinstance(node, yaml.ScalarNode):
                self._refuse_misread(node)

    def _refuse_misread(self, node: yaml.ScalarNode) -> None:
        """What YAML takes for another value than stands there, as it does of NO, 010 and 12:30."""
        plain = {"int": PLAIN_INT, "bool": PLAIN_BOOL, "timestamp": NOTHING}.get(node.tag.rpartition(":")[2])
        if plain is not None and not plain.fullmatch(node.value):
            where = f"{self.name}, line {node.start_mark.line + 1}"
            raise UnreadableFile(f"{where}: YAML takes `{node.value[:40]}` for something else; put it in quotes.")

    def _refuse_repeats(self, node: yaml.MappingNode) -> None:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise UnreadableFile(
                    f"{self.name}, line {key.start_mark.line + 1}: `{key.value}` stands here twice; keep one of them."
                )
            keys.add(str(key.value))


def _below(node: yaml.Node | None, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if str(key.value) == str(step)), None)
    return None
