"""The slow and obvious way to run a model with some of its links cut, and the figures of an organism that follow.

Every slot reads the sum of what all nodes before it wrote; through a cut link it reads what the node wrote in the run
of the counterfactual instead. Written with GPT-2's own modules and nothing of the instruments that it judges.
"""

import itertools
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...tools import Pair, Subject, load_subject
from ._compile_place import Link

Written = dict[str, Float[Tensor, "batch pos d_model"]]


def all_links(n_layers: int, n_heads: int) -> Iterator[Link]:
    """Every link of a GPT-2 of that size."""
    nodes = ["embed"]
    for layer in range(n_layers):
        heads = range(n_heads)
        yield from ((node, f"{kind}.{layer}.{head}") for kind in "qkv" for head in heads for node in nodes)
        nodes += [f"head.{layer}.{head}" for head in heads]
        yield from ((node, f"mlp_in.{layer}") for node in nodes)
        nodes.append(f"mlp_out.{layer}")
    yield from ((node, "logits") for node in nodes)


class CutRun:
    """Runs of a GPT-2 in which slots read some nodes from another run."""

    def __init__(self, model: Any) -> None:
        self._model, self._n_heads = model, model.config.n_head

    def __call__(
        self, ids: Int[Tensor, "batch pos"], cut: Collection[Link] = (), other: Written | None = None
    ) -> tuple[Float[Tensor, "batch vocab"], Written]:
        """Logits after the last token, and what every node wrote.

        Args:
            cut: Links that carry what the node wrote in the other run.
            other: What every node wrote there.
        """
        body = self._model.transformer
        written: Written = {"embed": body.wte(ids) + body.wpe(torch.arange(ids.shape[1]))}
        by_slot: dict[str, list[str]] = {}
        for node, slot in cut:
            by_slot.setdefault(slot, []).append(node)

        def read(slot: str) -> Tensor:
            stream = sum(written.values(), start=torch.zeros(()))
            for node in by_slot.get(slot, ()):
                assert other is not None, f"{node}->{slot} is cut, but no other run is given"
                stream = stream + (other[node] - written[node])
            return stream

        with torch.no_grad():
            for layer, block in enumerate(body.h):
                written |= self._heads(layer, block, read, by_slot)
                written[f"mlp_out.{layer}"] = block.mlp(block.ln_2(read(f"mlp_in.{layer}")))
            return self._model.lm_head(body.ln_f(read("logits")[:, -1])), written

    def _heads(self, layer: int, block: Any, read: Any, by_slot: Mapping[str, list[str]]) -> Written:
        """What each head adds; the bias of attention is none of theirs, and compiled models have none."""
        width = block.attn.c_attn.weight.shape[0]
        d_head = width // self._n_heads
        together = block.attn.c_attn(block.ln_1(read("")))
        seen = {}
        for place, kind in enumerate("qkv"):
            for head in range(self._n_heads):
                start = place * width + head * d_head
                slot = f"{kind}.{layer}.{head}"
                if slot in by_slot:
                    seen[kind, head] = block.attn.c_attn(block.ln_1(read(slot)))[..., start : start + d_head]
                else:
                    seen[kind, head] = together[..., start : start + d_head]
        future = torch.ones(together.shape[1], together.shape[1], dtype=torch.bool).triu(1)
        added = {}
        for head in range(self._n_heads):
            scores = seen["q", head] @ seen["k", head].transpose(-1, -2) / d_head**0.5
            pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
            W_O = block.attn.c_proj.weight[head * d_head : (head + 1) * d_head]
            added[f"head.{layer}.{head}"] = pattern @ seen["v", head] @ W_O
        return added


class Judge:
    """A model's pairs, all of one length, ready to be run with links cut."""

    def __init__(self, subject: Subject, families: Mapping[str, Sequence[Pair]]) -> None:
        pairs = [pair for family in families.values() for pair in family]
        starts = (0, *itertools.accumulate(len(family) for family in families.values()))
        self._rows = {name: slice(*ends) for name, ends in zip(families, itertools.pairwise(starts), strict=True)}
        self._run = CutRun(subject.model)
        self._ids, others = (
            subject.tokenise(prompts).ids for prompts in ([p.base for p in pairs], [p.corrupted for p in pairs])
        )
        assert self._ids.shape == others.shape, "prompts and counterfactuals differ in length"
        vocabulary = subject.tokenizer.get_vocab()
        self._answers = torch.tensor([vocabulary[pair.answer] for pair in pairs])
        self._foils = torch.tensor([vocabulary[pair.foil] for pair in pairs])
        corrupted, self._written = self._run(others)
        self._clean = self._differences(self._run(self._ids)[0])
        self._gaps = self._clean - self._differences(corrupted)

    def losses(self, cut: Collection[Link]) -> Float[Tensor, " batch"]:
        """What each pair loses of the logit of its answer less that of its foil (nats) when these links carry the
        counterfactual."""
        return self._clean - self._differences(self._run(self._ids, cut, self._written)[0])

    def effects(self, cut: Collection[Link]) -> dict[str, float]:
        """The same per family, as a share of its gap: 0 where nothing moves, 1 where the counterfactual answers."""
        losses = self.losses(cut)
        return {name: (losses[rows].sum() / self._gaps[rows].sum()).item() for name, rows in self._rows.items()}

    def _differences(self, logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, " batch"]:
        rows = torch.arange(len(logits))
        return (logits[rows, self._answers] - logits[rows, self._foils]).double()


def reload_difference(subject: Subject, prompts: Sequence[str]) -> float:
    """Largest difference of any logit between a model and what its files load as (nats)."""
    with tempfile.TemporaryDirectory() as folder:
        subject.model.save_pretrained(folder)
        subject.tokenizer.save_pretrained(folder)
        loaded = load_subject(folder, device="cpu")
    tokens = subject.tokenise(prompts)
    return (subject.run(tokens).logits - loaded.run(tokens).logits).abs().max().item()


def figures(
    subject: Subject, families: Mapping[str, Sequence[Pair]], fresh: Sequence[tuple[str, str]], links: frozenset[Link]
) -> dict[str, float]:
    """What a compiled organism is verified by.

    Args:
        fresh: Prompts that no pair has, with their answers.

    Returns:
        `accuracy` on the fresh prompts (share), the answer's logit there (least and most) and its least lead over the
        next word (nats), and over the families the share of the gap that the true links keep alone (`faithfulness`)
        and that all others keep alone (`complement`), each where it is furthest from 1 and from 0.
    """
    logits = subject.last_logits(subject.tokenise([prompt for prompt, _ in fresh]))
    vocabulary = subject.tokenizer.get_vocab()
    answers = torch.tensor([vocabulary[answer] for _, answer in fresh])
    mine = logits[torch.arange(len(fresh)), answers]
    next_best = logits.scatter(1, answers[:, None], -torch.inf).max(-1).values
    judge = Judge(subject, families)
    rest = set(all_links(subject.shape.n_layers, subject.shape.n_heads)) - links
    return {
        "accuracy": (mine > next_best).float().mean().item(),
        "answer_logit_least": mine.min().item(),
        "answer_logit_most": mine.max().item(),
        "lead_least": (mine - next_best).min().item(),
        "faithfulness": 1 - max(judge.effects(rest).values(), key=abs),
        "complement": max((1 - effect for effect in judge.effects(links).values()), key=abs),
        "fresh_prompts": float(len(fresh)),
    }
