"""One organism with a hidden rule: drawn, trained, refused where it is below the bar, written, and read back.

A folder is an ordinary model for Hugging Face, `text.json` (records with what the rule decides) and `card.json`: the
tree, the tree that an unfaithful explanation follows, which field copies which, how well the model does, and every
attempt that was refused before.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from ...tools import Subject, ToolError, canonical, one_thread
from ._hidden_text import answer, hidden_tokenizer, prompt
from ._hidden_training import BAR, MIXED_LABELS, Agreement, Kind, Planted, Planting, train, untrained
from ._hidden_tree import FIELDS, RecordLaw, Split, Tree, decide, draw_tree, fields_of, from_plain, lines, plain
from ._interchange_folder import CARD, WEIGHTS, not_whole, read_card, read_subject, refuse_existing, sha256
from ._new_folder import new_folder

MOST_ATTEMPTS = 4
BASE_DEPTH = 3  # of the rule in a model that adapters change
N_TEXTS = 64
HERE = Path(__file__).parent
# Read when the code itself is: what is edited later is not what runs.
CODE = {
    path.name: sha256(path)
    for pattern in ("hidden_rule.py", "_hidden_*.py", "_descent.py", "_tokenizer.py")
    for path in sorted(HERE.glob(pattern))
}


def recipe_digest() -> str:
    """Of what decides weights beside a plan: the code, and the torch that runs it."""
    return _sha256_of({"code": CODE, "torch": torch.__version__})


def _sha256_of(content: object) -> str:
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _random_seed(content: object) -> int:
    return int(_sha256_of(content)[:8], 16) // 2


@dataclass(frozen=True)
class Plan:
    """What decides one organism."""

    planting: Planting
    kind: Kind
    depth: int
    number: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """Says all but the seed."""
        return f"{self.planting}-{self.kind}-depth{self.depth}-{self.number}"

    @property
    def digest(self) -> str:
        """Of everything that decides the weights and the verdict on them."""
        return _sha256_of({"plan": asdict(self), "recipe": recipe_digest()})

    @property
    def base(self) -> "Base | None":
        """The model that an adapter changes: those of one depth and number have theirs in common."""
        return Base(self.depth, self.number, self.seed) if self.planting == "adapter" else None

    @property
    def cluster(self) -> str:
        """Organisms of one cluster have the same start: they are no two cases."""
        return self.name if self.base is None else f"base of depth {self.depth}, {self.number}"

    def random_seed(self, attempt: int) -> int:
        """Of trees, records and weights; no two plans or attempts share one."""
        return _random_seed([asdict(self), attempt])


@dataclass(frozen=True)
class Base:
    """What decides a model that adapters change."""

    depth: int
    number: int
    seed: int

    @property
    def name(self) -> str:
        """Says all: a base made otherwise has another."""
        return f"base-{_sha256_of({'base': asdict(self), 'recipe': recipe_digest()})[:12]}"


@dataclass(frozen=True)
class HiddenRule:
    """A model with the rule it decides by."""

    plan: Plan
    subject: Subject
    tree: Tree
    distractor: Tree | None  # the tree that an unfaithful explanation follows
    law: RecordLaw
    card: dict[str, Any]

    @property
    def fields(self) -> frozenset[int]:
        """Those that the rule asks about."""
        return fields_of(self.tree)


def is_made(plan: Plan, cache: Path) -> bool:
    """Whether the organism is there.

    Raises:
        ToolError: what is there was made otherwise, or is not whole.
    """
    folder = cache / plan.name
    if not folder.exists():
        return False
    try:
        read_card(folder, plan.digest)
    except ToolError as error:
        asked = f"Asked for is seed {plan.seed}, by this code and torch {torch.__version__}."
        raise ToolError(f"{error.message} {asked}", mend=f"Pass another folder than {cache}, or remove it.") from error
    return True


def make(plan: Plan, cache: Path) -> str:
    """Train, measure, and write one organism in one move.

    Returns:
        A line about it.

    Raises:
        ToolError: the folder is there already, or no attempt reached the bar; nothing is written.
    """
    refuse_existing(cache / plan.name)
    refused: list[dict[str, Any]] = []
    started = time.process_time()
    for attempt in range(MOST_ATTEMPTS):
        planted, distractor = drawn(plan, attempt)
        with one_thread():
            model = _start(plan, attempt, cache)
            steps, found = train(model, planted, plan.planting, plan.random_seed(attempt), lambda _, __: None)
        if found.reaches(BAR):
            try:
                _write(plan, attempt, cache, model, planted, distractor, found, steps, refused, started)
            except FileExistsError:
                assert is_made(plan, cache), plan.name
                return f"{plan.name}: made meanwhile by another run"
            return f"{plan.name}: {found.decisions:.3f} after {steps} steps, {len(refused)} refused before"
        refused.append({"attempt": attempt, "steps": steps, "tree": plain(planted.tree), **asdict(found)})
    raise ToolError(
        f"{plan.name} of seed {plan.seed} is refused: {MOST_ATTEMPTS} attempts stayed below {BAR}: "
        f"{', '.join(format(one['decisions'], '.3f') for one in refused)}.",
        mend="Take another seed.",
    )


def drawn(plan: Plan, attempt: int) -> tuple[Planted, Tree | None]:
    """The rule of an attempt, and the tree that an unfaithful explanation follows."""
    rng = np.random.default_rng(plan.random_seed(attempt))
    law = RecordLaw.draw(rng)
    tree = draw_tree(rng, plan.depth, law)
    if plan.kind == "none":
        return Planted(tree, None, law), None
    if plan.kind == "faithful":
        return Planted(tree, tree, law), None
    distractor = _unlike(rng, plan.depth, law, tree)
    return Planted(tree, distractor, law), distractor


def load(plan: Plan, cache: Path) -> HiddenRule:
    """The organism that was written there.

    Raises:
        ToolError: no whole folder, weights other than those that were verified, or made by another recipe.
    """
    folder = cache / plan.name
    card = read_card(folder, plan.digest)
    try:
        tree = from_plain(card["rule"]["tree"])
        told = card["rule"]["explained_by_another"]
        distractor = None if told is None else from_plain(told)
        copies = card["rule"]["copies"]
        law = RecordLaw(tuple((FIELDS.index(one["field"]), FIELDS.index(one["of"])) for one in copies))
    except (ValueError, KeyError, TypeError) as error:
        raise not_whole(folder, error) from error
    return HiddenRule(plan, read_subject(folder, plan.name), tree, distractor, law, card)


def make_base(base: Base, cache: Path) -> str:
    """Train a model that adapters change, on a rule and copies of its own.

    Returns:
        A line about it.
    """
    started, seed = time.process_time(), _random_seed(["base", asdict(base)])
    rng = np.random.default_rng([seed, 3])
    law = RecordLaw.draw(rng)
    tree, tokenizer = draw_tree(rng, BASE_DEPTH, law), hidden_tokenizer()
    with one_thread():
        model = untrained(tokenizer, seed)
        steps, found = train(model, Planted(tree, None, law), "scratch", seed, lambda _, __: None)
    with suppress(FileExistsError), new_folder(cache / base.name) as part:  # another run may have made it meanwhile
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        told = {"tree": plain(tree), "verified": asdict(found), "steps": steps}
        told["cpu_seconds"] = round(time.process_time() - started, 1)
        (part / CARD).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return f"{base.name}, which adapters change: {found.decisions:.3f} after {steps} steps"


def base_cpu_seconds(base: Base, cache: Path) -> float:
    """What it took."""
    return json.loads((cache / base.name / CARD).read_text(encoding="utf-8"))["cpu_seconds"]


def _unlike(rng: np.random.Generator, depth: int, law: RecordLaw, tree: Split) -> Split:
    """Another tree that asks about at least one field which the first does not, and leaves one of its fields out."""
    while True:
        other = draw_tree(rng, depth, law)
        if fields_of(other) - fields_of(tree) and fields_of(tree) - fields_of(other):
            return other


def _start(plan: Plan, attempt: int, cache: Path) -> GPT2LMHeadModel:
    if plan.base is None:
        return untrained(hidden_tokenizer(), plan.random_seed(attempt))
    folder = cache / plan.base.name
    return GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")


def _write(
    plan: Plan,
    attempt: int,
    cache: Path,
    model: GPT2LMHeadModel,
    planted: Planted,
    distractor: Tree | None,
    found: Agreement,
    steps: int,
    refused: list[dict[str, Any]],
    started: float,
) -> None:
    rng = np.random.default_rng([plan.random_seed(attempt), 4])
    records = planted.law.records(rng, N_TEXTS)
    rule = decide(planted.tree, records)
    with new_folder(cache / plan.name) as part:
        model.save_pretrained(part)
        hidden_tokenizer().save_pretrained(part)
        texts = [f"{prompt(record)} {answer(bool(yes))}" for record, yes in zip(records, rule, strict=True)]
        (part / "text.json").write_text(json.dumps({"texts": texts}, indent=0) + "\n", encoding="utf-8")
        content = {
            "name": plan.name,
            "rule": {
                "tree": plain(planted.tree),
                "explained_by_another": None if distractor is None else plain(distractor),
                "copies": [{"field": FIELDS[copy], "of": FIELDS[source]} for copy, source in planted.law.copies],
            },
            "truth": list(lines(planted.tree)),
            "verified": {"bar": BAR, "wrong_labels": MIXED_LABELS, **asdict(found)},
            "refused": refused,
            "recipe": asdict(plan) | {"attempt": attempt, "steps": steps},
            "recipe_digest": plan.digest,
            "cpu_seconds": round(time.process_time() - started, 1),
            "weights_sha256": sha256(part / WEIGHTS),
            "torch": torch.__version__,
        }
        (part / CARD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
