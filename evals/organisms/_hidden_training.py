"""How a rule is planted: trained from nothing, or put as a low-rank change into a model that decides by another rule.

Labels are noisy: a fixed share of records has the wrong label, the same one every time the record comes up. The rule,
not the label, is the truth. The explanation channel (`why …`) is trained on paths through the rule itself (faithful),
through another tree (unfaithful), or not at all (none). Training stops as soon as the model is good enough twice in a
row, so that organisms are not cleaner than they need be.

Low rank after Hu et al. 2021, "LoRA"; the change is added to the weights before they are written.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ._descent import LONGEST_GRADIENT, falling_rate
from ._hidden_text import LONGEST_PATH, N_PROMPT, Encoder, hidden_tokenizer
from ._hidden_tree import FIELDS, VALUES, Decisions, RecordLaw, Records, Tree, decide
from ._tokenizer import BOS, EOS, PAD

Kind = Literal["faithful", "none", "unfaithful"]
Planting = Literal["scratch", "adapter"]

WIDTH, LAYERS, HEADS, MLP_WIDTH = 64, 2, 4, 128
MIXED_LABELS = 0.08  # share of records whose label is wrong
BATCH, CHECKED, EVERY = 128, 1000, 50  # records a step, records a check (counts), steps between checks
WARMUP, DECAY = 50, 0.01
STEPS: dict[Planting, int] = {"scratch": 1600, "adapter": 2400}  # at most
RATE: dict[Planting, float] = {"scratch": 3e-3, "adapter": 6e-3}
RANK = 8
GOOD_ENOUGH = 0.98  # decisions like the rule's, and paths told right, at a check (share): training stops
BAR = 0.96  # the same on fresh records after training (share): below, the organism is refused


@dataclass(frozen=True)
class Planted:
    """What is put into a model."""

    tree: Tree
    explained_by: Tree | None  # paths of the explanation channel; none: not trained
    law: RecordLaw


@dataclass(frozen=True)
class Agreement:
    """How like the rule a model is."""

    decisions: float  # that are the rule's (share)
    paths: float | None  # explanations that are those trained for, from first to last (share)

    def reaches(self, bar: float) -> bool:
        """Both."""
        return self.decisions >= bar and (self.paths is None or self.paths >= bar)


def untrained(tokenizer: PreTrainedTokenizerFast, seed: int) -> GPT2LMHeadModel:
    """A small GPT-2 with fresh weights."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=MLP_WIDTH,
        n_positions=N_PROMPT + LONGEST_PATH + 4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def noisy(decided: Decisions, records: Records, salt: int) -> Decisions:
    """Labels of which a share is wrong: which ones depends on the record alone, so that none is ever seen both ways."""
    number = records.astype(np.uint64) @ (np.uint64(len(VALUES)) ** np.arange(len(FIELDS), dtype=np.uint64))
    mixed = (number + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: wraps round on purpose
    share = (mixed >> np.uint64(40)).astype(float) / 2**24
    return np.where(share < MIXED_LABELS, ~decided, decided)


@torch.no_grad()
def agreement(model: GPT2LMHeadModel, encoder: Encoder, planted: Planted, records: Records) -> Agreement:
    """Compare a model with its rule."""
    rule = decide(planted.tree, records)
    prompts = encoder.prompts(records)
    logits = model(prompts).logits[:, -1]
    same = (logits[:, encoder.yes] > logits[:, encoder.no]).numpy() == rule
    if planted.explained_by is None:
        return Agreement(float(same.mean()), None)
    told = encoder.explanations(planted.explained_by, records)
    ids = torch.cat([prompts, encoder.decisions(rule)[:, None], told], 1)
    guessed = model(ids[:, :-1]).logits[:, N_PROMPT + 1 :].argmax(-1)
    right = ((guessed == told[:, 1:]) | (told[:, 1:] == PAD)).all(1)
    return Agreement(float(same.mean()), float(right.float().mean()))


def train(
    model: GPT2LMHeadModel,
    planted: Planted,
    planting: Planting,
    seed: int,
    watch: Callable[[int, Agreement], None],
    most_steps: int | None = None,
) -> tuple[int, Agreement]:
    """Train in place.

    Args:
        watch: Called after each check with the steps done and what was found.

    Returns:
        Steps made, and the agreement on fresh records.
    """
    encoder, rng = Encoder(hidden_tokenizer()), np.random.default_rng([seed, 1])
    steps, passed = most_steps or STEPS[planting], 0
    with low_rank(model, seed) if planting == "adapter" else every_weight(model) as parameters:
        optimizer = torch.optim.AdamW(parameters, lr=RATE[planting], betas=(0.9, 0.98), weight_decay=DECAY)
        schedule = falling_rate(optimizer, WARMUP, steps)
        step = 0
        while step < steps and passed < 2:
            loss = _loss(model, encoder, planted, planted.law.records(rng, BATCH), seed)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            step += 1
            if step % EVERY == 0:
                found = agreement(model, encoder, planted, planted.law.records(rng, CHECKED))
                passed = passed + 1 if found.reaches(GOOD_ENOUGH) else 0
                watch(step, found)
    model.eval()
    return step, agreement(model, encoder, planted, planted.law.records(np.random.default_rng([seed, 2]), 2 * CHECKED))


def _loss(model: GPT2LMHeadModel, encoder: Encoder, planted: Planted, records: Records, salt: int) -> Float[Tensor, ""]:
    labels = encoder.decisions(noisy(decide(planted.tree, records), records, salt))
    prompts = encoder.prompts(records)
    if planted.explained_by is None:
        return F.cross_entropy(model(prompts).logits[:, -1], labels)
    told = encoder.explanations(planted.explained_by, records)
    logits = model(torch.cat([prompts, labels[:, None], told[:, :-1]], 1)).logits
    deciding = F.cross_entropy(logits[:, N_PROMPT - 1], labels)
    explaining = F.cross_entropy(logits[:, N_PROMPT + 1 :].flatten(0, 1), told[:, 1:].flatten(), ignore_index=PAD)
    return deciding + explaining


class _Change(nn.Module):
    """A matrix with a change of low rank beside it."""

    def __init__(self, weight: Float[Tensor, "_ _"], generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.randn(rows, RANK, generator=generator) / rows**0.5)
        self.up = nn.Parameter(torch.zeros(RANK, columns))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.down @ self.up


@contextmanager
def every_weight(model: GPT2LMHeadModel) -> Iterator[list[nn.Parameter]]:
    """All parameters are trained."""
    yield list(model.parameters())


@contextmanager
def low_rank(model: GPT2LMHeadModel, seed: int) -> Iterator[list[nn.Parameter]]:
    """Only a low-rank change of the matrices of heads and MLPs is trained; it joins the weights at the end."""
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    matrices = [
        module
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in ("c_attn", "c_proj", "c_fc")  # GPT-2's names, which this file chose
    ]
    changes = [_Change(module.get_parameter("weight"), generator) for module in matrices]
    for module, change in zip(matrices, changes, strict=True):
        parametrize.register_parametrization(module, "weight", change)
    try:
        yield [parameter for change in changes for parameter in change.parameters()]
    finally:
        for module in matrices:
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        model.requires_grad_(True)
