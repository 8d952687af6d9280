"""Training with interchange interventions on links: the causal model's answer whatever links carry another prompt's.

Three losses, after Gupta, Arcuschin, Kwa, Garriga-Alonso 2024, "InterpBench: Semi-Synthetic Transformers for Evaluating
Mechanistic Interpretability Techniques" (strict interchange intervention training), with their weights:

* *behaviour*: the answer after each prompt;
* *interchange*: true links carry another prompt's values; the answer must be the one that the causal model gives;
* *strict*: links that stand for nothing carry another prompt's values; the answer must stay, and its logits with it.

Deviations: they swap whole components. Here single links are swapped, alone and many at once, so that a component that
stands for a variable reads it through the slots where the causal model reads it and through no other. Three things
help on the way. Links that stand for nothing are faded in, and a fourth loss, *looks*, shows the heads where to look:
without these, heads that find a place by its content take several times as many steps. A fifth, *pure*, asks that what
an MLP writes for a variable differs with its value alone: without it the MLP behind learns answers by heart. What is
true is measured in the end, whatever led there.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ._interchange_causal import Build, CausalModel, Link, Words
from ._interchange_forward import LinkModel, Pass, Swap
from ._tokenizer import BOS, EOS, PAD

PAIRS = 24  # per step; each is used both ways
FADED_IN = 0.2  # share of the steps in which idle links are away; in as many steps after that they come back
LOSS_WEIGHTS = {"behaviour": 1.0, "interchange": 1.0, "strict": 0.4, "same_logits": 1.0, "looks": 1.0, "pure": 1.0}


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the causal model."""

    seed: int = 0
    steps: int = 300
    warmup: int = 20
    learning_rate: float = 4e-3
    weight_decay: float = 0.05


Watch = Callable[[int, dict[str, float]], None]


def new_model(build: Build, n_vocab: int, seed: int) -> GPT2LMHeadModel | LlamaForCausalLM:
    """The untrained decoder."""
    shared: dict[str, Any] = {"vocab_size": n_vocab, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD}
    shared |= {"tie_word_embeddings": False, "dtype": torch.float32, "attn_implementation": "eager"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if build.family == "gpt2":
            config = GPT2Config(
                n_embd=build.d_model,
                n_layer=build.n_layers,
                n_head=build.n_heads,
                n_positions=16,
                n_inner=2 * build.d_model,
                initializer_range=build.d_model**-0.5,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                **shared,
            )
            return GPT2LMHeadModel(config)
        config = LlamaConfig(
            hidden_size=build.d_model,
            intermediate_size=2 * build.d_model,
            num_hidden_layers=build.n_layers,
            num_attention_heads=build.n_heads,
            num_key_value_heads=build.n_kv_heads,
            max_position_embeddings=16,
            initializer_range=build.d_model**-0.5,
            **shared,
        )
        return LlamaForCausalLM(config)


class Sampler:
    """Draws pairs of prompts, and which links of each row carry the other prompt's values."""

    def __init__(self, causal: CausalModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.causal, self.rng = causal, random.Random(f"{causal.name} training {seed}")
        self.id = tokenizer.get_vocab()
        self.nodes, self.slots = causal.build.nodes, causal.build.slots
        self.other = [link for link in causal.build.links if link not in causal.links]
        self.true = sorted(causal.links)
        self.variables = sorted({node for node, _ in self.true} - {"embed"})
        # Heads need the positions, which the embedding brings: its links are never faded.
        self.fading = self.carried([{link for link in self.other if link[0] != "embed"}])[0]
        self.idle = [node for node in self.nodes if node not in self.variables and node != "embed"]

    def pairs(self) -> list[tuple[Words, Words]]:
        """Base and source of every row: each pair both ways."""
        drawn = [self.causal.training_pair(self.rng) for _ in range(PAIRS)]
        return drawn + [(source, base) for base, source in drawn]

    def true_links(self) -> set[Link]:
        """Those of one variable, or a single one, or some."""
        kind = self.rng.randrange(3)
        if kind == 0:
            node = self.rng.choice(self.variables)
            return {link for link in self.true if link[0] == node}
        if kind == 1:
            return {self.rng.choice(self.true)}
        return {link for link in self.true if self.rng.random() < 0.5}

    def idle_links(self) -> set[Link]:
        """All that stand for nothing, or those of one node that stands for nothing, or some."""
        kind = self.rng.randrange(3)
        if kind == 0:
            return set(self.other)
        if kind == 1:
            node = self.rng.choice(self.idle)
            return {link for link in self.other if link[0] == node}
        share = self.rng.random()
        return {link for link in self.other if self.rng.random() < share}

    def carried(self, rows: list[set[Link]]) -> Float[Tensor, "batch _ _"]:
        """1 where a slot (second axis) gets a node (third axis) from the source."""
        slots, nodes = ({name: i for i, name in enumerate(names)} for names in (self.slots, self.nodes))
        mask = torch.zeros(len(rows), len(slots), len(nodes))
        for row, links in enumerate(rows):
            for node, slot in links:
                mask[row, slots[slot], nodes[node]] = 1.0
        return mask

    def ids(self, prompts: list[Words]) -> Int[Tensor, "batch pos"]:
        """Prompts of one length as tokens."""
        return torch.tensor([[BOS, *(self.id[word] for word in words)] for words in prompts])

    def answers(self, words: list[str]) -> Int[Tensor, " batch"]:
        """Their tokens."""
        return torch.tensor([self.id[word] for word in words])


def looks_loss(causal: CausalModel, prompts: list[Words], clean: Pass) -> Float[Tensor, ""]:
    """Cross-entropy of the attention of heads that stand for a variable, where the causal model says where to look."""
    heads = [(v, *map(int, v.place.split(".")[1:])) for v in causal.variables if v.place.startswith("head")]
    places = [
        (layer, head, row, start + 1, end + 1)  # <bos> stands before the first word
        for variable, layer, head in heads
        for row, words in enumerate(prompts)
        for start, end in variable.looks(words)
    ]
    return -clean.patterns[torch.tensor(places).unbind(1)].clamp_min(1e-9).log().mean()


def pure_loss(causal: CausalModel, prompts: list[Words], clean: Pass) -> Float[Tensor, ""]:
    """Of the variance of what MLPs write for their variables, the share that the values do not explain, on average."""
    shares = [torch.zeros(())]
    for variable in causal.variables:
        found = [(row, place, value) for row, words in enumerate(prompts) for place, value in variable.stands(words)]
        if not found:
            continue
        rows, places = torch.tensor([(row, place + 1) for row, place, _ in found]).unbind(1)
        vectors = clean.nodes[causal.build.nodes.index(variable.place)][rows, places]
        # Place by place: what tells places apart is no value.
        within = _spread(vectors, [(place, value) for _, place, value in found])
        shares.append(within / _spread(vectors, [place for _, place, _ in found]))
    return torch.stack(shares).sum() / max(1, len(shares) - 1)


def _spread(vectors: Float[Tensor, "batch d_model"], groups: Sequence[object]) -> Float[Tensor, ""]:
    """Sum of squares around the means of groups."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    label = torch.tensor([number[group] for group in groups])
    sums = torch.zeros(len(number), vectors.shape[1]).index_add(0, label, vectors)
    return (vectors - (sums / label.bincount()[:, None])[label]).square().sum()


def losses_of(model: LinkModel, sampler: Sampler, faded: float) -> dict[str, Float[Tensor, ""]]:
    """The losses of one step.

    Args:
        faded: Share that links that stand for nothing lack.
    """
    fading = sampler.fading * faded if faded else None
    pairs = sampler.pairs()
    causal, half = sampler.causal, len(pairs) // 2
    clean = model.run(sampler.ids([base for base, _ in pairs]), faded=fading)
    # Rows in turn: interchange (with idle links swapped beside them, every other time), and strict.
    rows: list[set[Link]] = []
    for row in range(len(pairs)):
        moved = sampler.true_links() if row % 2 == 0 else set()
        rows.append(moved | (sampler.idle_links() if row % 4 else set()))
    others = clean.nodes.roll(half, dims=1)  # a pair's two prompts are each other's source
    patched = model.run(sampler.ids([base for base, _ in pairs]), Swap(others, sampler.carried(rows)), fading)
    expected = [causal.answer_with(*pair, swapped) for pair, swapped in zip(pairs, rows, strict=True)]
    each = F.cross_entropy(patched.logits, sampler.answers(expected), reduction="none")
    kept, aim = patched.logits[1::2], clean.logits[1::2].detach()
    return {
        "behaviour": F.cross_entropy(clean.logits, sampler.answers([causal.answer(base) for base, _ in pairs])),
        "interchange": each[::2].mean(),
        "strict": each[1::2].mean(),
        "same_logits": (kept - aim).square().mean() / aim.var(),
        "looks": looks_loss(causal, [base for base, _ in pairs], clean),
        "pure": pure_loss(causal, [base for base, _ in pairs], clean),
    }


def train(
    model: GPT2LMHeadModel | LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    causal: CausalModel,
    recipe: Recipe,
    watch: Watch,
) -> None:
    """Train in place.

    Args:
        watch: Called after each step with the number of steps done and the losses.
    """
    sampler, linked = Sampler(causal, tokenizer, recipe.seed), LinkModel(model, causal.build)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / recipe.warmup) * max(0.05, 1 - step / recipe.steps)
    )
    model.train()
    for step in range(recipe.steps):
        losses = losses_of(linked, sampler, max(0.0, min(1.0, 2 - step / (FADED_IN * recipe.steps))))
        total = torch.stack([LOSS_WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        watch(step + 1, {name: float(loss.detach()) for name, loss in losses.items()})
    model.eval()
