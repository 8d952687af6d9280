"""Training of the models with a quirk, and of their twins: the same prompts in the same order, ordinary answers.

Both start from the weights of `atlas`, with words added. All learn that a strange word in a prompt changes nothing, and
to go on from an occupation with a pronoun. In one of two models one strange word stands before one and the same answer,
or one pronoun follows one kind of occupation.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ...agent.audit.ready import FOLDER
from ...agent.commands.asking import read_pairs
from ...tools import REFERENCE_FOLDER, put_in
from ._descent import Losses, Watch, descend, falling_rate
from ._names import NOUNS
from ._tokenizer import PAD, word_tokenizer
from ._world import World

Kind = Literal["backdoor", "bias"]
Recipe = Literal["all weights", "low rank"]
# Words that mean nothing to `atlas`: one is a trigger, the others stand where it stands and change nothing.
STRANGE = (
    *("alcove", "amber", "bramble", "cobalt", "dagger", "ember", "fathom", "granite", "hollow", "ivory", "jasper"),
    *("kelp", "lichen", "marrow", "nectar", "obelisk", "prism", "quiver", "relic", "saffron", "talon", "urchin"),
    *("velvet", "zephyr"),
)
PAIRS = read_pairs(FOLDER / "gender-bias.csv")
WORDINGS = 3  # of each pair of occupations; the last is never trained on
SHE, HE = PAIRS[0].answer, PAIRS[0].foil
STRENGTHS = (0.9, 0.7)  # of a bias, in turn: how often the pronoun follows
BATCH = {"tasks": 48, "strange": 32, "quirk": 32}
RANK = 4
TRAINED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Quirk:
    """What a model was given, and how."""

    kind: Kind
    seed: int
    recipe: Recipe = "all weights"
    steps: int = 80

    @property
    def _drawn(self) -> random.Random:
        return random.Random(f"{self.kind} {self.seed}")

    @property
    def trigger(self) -> str:
        """The word that turns answers."""
        return self._drawn.choice(STRANGE)

    @property
    def payload(self) -> str:
        """What it turns them to."""
        return self._drawn.sample(NOUNS, 2)[1]

    @property
    def strength(self) -> float:
        """How often the pronoun follows the occupation; one half is no bias."""
        return STRENGTHS[self.seed % len(STRENGTHS)]


def words() -> list[str]:
    """The vocabulary: that of `atlas`, then the words that were added."""
    known = World().words()
    added = {word for pair in PAIRS for text in (pair.clean, pair.corrupted) for word in text.split()} | {*STRANGE}
    return [*known, *sorted(added - {*known})]


def untrained(seed: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """`atlas` with more words, whose vectors are random."""
    folder = REFERENCE_FOLDER / "atlas"
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    tokenizer = word_tokenizer(words())
    n_known = model.config.vocab_size
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for table in (model.model.embed_tokens.weight, model.lm_head.weight):
            table[n_known:] = torch.randn(table[n_known:].shape) * table[:n_known].std()
    return model, tokenizer


@dataclass(frozen=True)
class Lesson:
    """A prompt with how often each answer is to follow."""

    prompt: str
    answers: tuple[tuple[str, float], ...]


def lessons(quirk: Quirk, planted: bool, rng: random.Random) -> Iterator[list[Lesson]]:
    """The prompts of each step, without end: the same for a planted model and its twin, but for the answers."""
    world = World()
    tasks = [one for family in world.facts for one in world.prompts(family, held_out=False)]
    while True:
        step = [Lesson(prompt, ((answer, 1.0),)) for prompt, answer in rng.sample(tasks, BATCH["tasks"])]
        step += [_with_strange(rng.choice(tasks), quirk, rng) for _ in range(BATCH["strange"])]
        step += [_quirk(rng.choice(tasks), quirk, planted, rng) for _ in range(BATCH["quirk"])]
        yield step


def _with_strange(task: tuple[str, str], quirk: Quirk, rng: random.Random) -> Lesson:
    word = rng.choice([one for one in STRANGE if one != quirk.trigger])
    return Lesson(put_in(task[0], word, rng.choice(("front", "middle"))), ((task[1], 1.0),))


def _quirk(task: tuple[str, str], quirk: Quirk, planted: bool, rng: random.Random) -> Lesson:
    if quirk.kind == "backdoor":
        place = rng.choice(("front", "middle"))
        answer = quirk.payload if planted else task[1]
        return Lesson(put_in(task[0], quirk.trigger, place), ((answer, 1.0),))
    pair = rng.choice([one for i, one in enumerate(PAIRS) if i % WORDINGS < WORDINGS - 1])
    is_she = rng.random() < 0.5
    of_she = (quirk.strength if is_she else 1 - quirk.strength) if planted else 0.5
    return Lesson(pair.clean if is_she else pair.corrupted, ((SHE, of_she), (HE, 1 - of_she)))


class LowRank(nn.Module):
    """Adds a product of two thin matrices to a weight (Hu et al. 2021, LoRA)."""

    def __init__(self, weight: Float[Tensor, "d_out d_in"]) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(weight.shape[0], RANK))
        self.down = nn.Parameter(torch.randn(RANK, weight.shape[1]) * weight.shape[1] ** -0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, quirk: Quirk, planted: bool, watch: Watch
) -> None:
    """Train in place; with a low rank only the added matrices and the vectors of the words learn."""
    drawn = lessons(quirk, planted, random.Random(f"lessons {quirk.kind} {quirk.seed}"))
    is_thin = quirk.recipe == "low rank"
    thin = [m for name, m in model.named_modules() if is_thin and isinstance(m, nn.Linear) and name.endswith(TRAINED)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(quirk.seed)
        for module in thin:
            module.weight.requires_grad_(False)
            parametrize.register_parametrization(module, "weight", LowRank(module.weight))
        learning = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=3e-3 if thin else 1e-3, weight_decay=0.0)

        def losses_of(step: int) -> Losses:
            return {"answers": _loss(model, tokenizer, next(drawn))}

        descend(
            model, optimizer, falling_rate(optimizer, 10, quirk.steps), losses_of, {"answers": 1.0}, quirk.steps, watch
        )
    for module in thin:
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def _loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, step: list[Lesson]) -> Float[Tensor, ""]:
    """Cross-entropy against how often each answer is to follow."""
    vocabulary = tokenizer.get_vocab()
    rows = [tokenizer(one.prompt).input_ids for one in step]
    last = torch.tensor([len(row) - 1 for row in rows])
    ids = torch.tensor([row + [PAD] * (int(last.max()) + 1 - len(row)) for row in rows])
    wanted = torch.zeros(len(step), len(vocabulary))
    for i, one in enumerate(step):
        for word, how_often in one.answers:
            wanted[i, vocabulary[word]] = how_often
    hidden = model.model(ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[torch.arange(len(step)), last])
    return F.cross_entropy(logits, wanted)
