"""Where names of supernodes are tried: a model, the dictionary of its features, and how many prompts of each relation.

`atlas` was trained, so what its features stand for is not known. The organism of facts was compiled: the neurons of
its program have names that are true by construction, so there it is also known whether a name is right.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...agent.planners._supernode_prompts import Setting, prompts_of_others
from ...tools import Subject, load_subject
from ..organisms._compile_files import true_names, write_organism
from ..organisms.compiled import compiled_circuit

OTHERS = 8  # prompts with other values, whose supernodes are put in
TRAINED = {"two_hop": 8, "city_state": 4, "state_capital": 3, "gender": 4, "pronoun": 4, "antonym": 3}
COMPILED = {"capital": 6, "flower": 5, "state": 5, "pronoun": 3, "gender": 3}
SIX_FEATURES = {"threshold": 1.0, "max_features": 6}  # three of the program matter, the rest are live and idle


@dataclass(frozen=True)
class World:
    """A model whose features are to be named."""

    subject: Subject
    dictionary: str
    prompts: Mapping[str, int]  # of each task family (count)
    select: Mapping[str, float]  # how many features of a prompt are taken, as `probe_prompts` is told
    true_names: Mapping[str, str] = field(default_factory=dict)  # by LAYER/FEATURE, where they are known


@dataclass(frozen=True)
class Case:
    """One prompt with the prompts whose supernodes are put in instead."""

    setting: Setting
    target: str
    others: tuple[tuple[str, str], ...]

    @property
    def prompt(self) -> tuple[str, str]:
        """Prompt and target."""
        return self.setting.prompt, self.target


def trained_world() -> World:
    """The reference model."""
    return World(load_subject("atlas", device="cpu"), "transcoders", TRAINED, {"threshold": 0.8})


def compiled_world(seed: int, folder: Path) -> World:
    """The organism of facts, written into a new folder."""
    one = compiled_circuit("facts", seed)
    write_organism(one.organism, folder, one)
    return World(load_subject(str(folder), device="cpu"), "neurons", COMPILED, SIX_FEATURES, true_names(one))


def cases(world: World, seed: int) -> tuple[Case, ...]:
    """Prompts of all relations."""
    return tuple(case for family, n in world.prompts.items() for case in _cases(world.subject, family, n, seed))


def _cases(subject: Subject, family_name: str, n: int, seed: int) -> Iterable[Case]:
    """Prompts of different answers as far as there are any, in one wording per relation, of entities that explore."""
    family = next(one for one in subject.tasks if one.name == family_name)
    empty = Setting(subject.tasks, family, "", seed)
    rows = sorted(empty.rows(family, "seen"), key=lambda row: row.slots[family.entity])
    by_answer: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        prompt = family.templates[0].fill(row.slots)
        by_answer.setdefault(row.slots[family.answer], []).append((prompt, row.slots[family.answer]))
    turns = [prompts[i] for i in range(len(rows)) for prompts in by_answer.values() if i < len(prompts)]
    for prompt, target in turns[:n]:
        setting = Setting(subject.tasks, family, prompt, seed)
        yield Case(setting, target, prompts_of_others(setting, OTHERS))
