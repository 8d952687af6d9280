"""What is true of a place in a model whose circuit is known: decided by its program, and by patching prompts that no
investigation sees.

A claim that a place moves the answer is false where no true link starts there, and false where its effect on fresh
pairs, patched both ways, is no larger than the smallest effect that matters. A claim that a place plays no part is
false where that effect is larger. The patch is written here anew, without the instrument that investigations use.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...agent._evidence import SMALLEST_EFFECT, Prediction
from ...tools import Pair, Subject

Verifier = Callable[[Prediction], str]
"""Why a claim is false; empty where it is true."""


def place_of(prediction: Prediction) -> tuple[str, str]:
    """Site and position that a prediction is about."""
    args = prediction.arms[0].args
    sites = args["sites"] if "sites" in args else [args.get("site", prediction.arms[0].tool)]
    return "+".join(sites), args.get("positions", ("",))[0]


def out_of(prediction: Prediction) -> tuple[str, ...]:
    """Parts that are taken out while it is tested."""
    return tuple(sorted(prediction.arms[0].args.get("without", ())))


def nothing(why: str) -> Verifier:
    """Where nothing at all is to be found."""
    return lambda prediction: why


class Known:
    """A model whose true components are known, with pairs of one counterfactual family that nobody else has.

    Args:
        nodes: what writes in a true link; none where only effects decide, as in weights that have no program.
    """

    def __init__(self, subject: Subject, nodes: Collection[str] | None, fresh: Sequence[Pair]) -> None:
        self.subject, self.nodes = subject, None if nodes is None else frozenset(nodes)
        self._fresh = tuple(fresh)
        self.effect = cache(self._effect)

    def __call__(self, prediction: Prediction) -> str:
        """Why a claim about one place is false; empty where it is true."""
        site, position = place_of(prediction)
        effect = self.effect(site, position, out_of(prediction))
        if prediction.direction == "none":
            return f"its effect is {effect:.3f}" if abs(effect) > SMALLEST_EFFECT else ""
        if self.nodes is not None and not self.is_true(site):
            return f"{site} is not of the circuit; its effect is {effect:.3f}"
        return "" if effect > SMALLEST_EFFECT else f"its effect is {effect:.3f}"

    def is_true(self, site: str) -> bool:
        """Whether a place belongs to the circuit; the stream belongs to all."""
        assert self.nodes is not None, "this model has no program"
        kind, layer, *_ = site.split(".")
        if kind.startswith("resid"):
            return True
        if kind == "attn_out":
            return any(node.startswith(f"head.{layer}.") for node in self.nodes)
        return site in self.nodes

    def _effect(self, site: str, position: str, out: tuple[str, ...] = ()) -> float:
        """Mean over both ways of (clean - patched) / gap, as the judge pools them (share).

        Args:
            out: parts that write nothing; the gap is that of the whole model.
        """
        ways = (self._fresh, tuple(_turned(pair) for pair in self._fresh))
        return sum(self._one_way(site, position, out, pairs) for pairs in ways) / len(ways)

    def _one_way(self, site: str, position: str, out: tuple[str, ...], pairs: Sequence[Pair]) -> float:
        subject = self.subject
        base, other = (subject.tokenise(texts) for texts in ([p.base for p in pairs], [p.corrupted for p in pairs]))
        assert base.ids.shape == other.ids.shape, "prompts and counterfactuals differ in length"
        where: Bool[Tensor, "batch pos"] = base.ids != other.ids
        if position == "last":
            where = torch.zeros_like(where)
            where[:, -1] = True
        zeros = dict.fromkeys(out, torch.zeros_like)
        found = subject.run(other, read=(site,), write=zeros)

        def put(acts: Tensor) -> Tensor:
            changed = acts.clone()
            changed[where] = found.sites[site][where]
            return changed

        whole, corrupted = (_differences(subject, pairs, subject.run(some).last_logits) for some in (base, other))
        gap = (whole - corrupted).mean()
        clean = _differences(subject, pairs, subject.run(base, write=zeros).last_logits)
        patched = _differences(subject, pairs, subject.run(base, write=zeros | {site: put}).last_logits)
        return ((clean - patched).mean() / gap).item()


def _turned(pair: Pair) -> Pair:
    return pair.model_copy(
        update={"base": pair.corrupted, "corrupted": pair.base, "answer": pair.foil, "foil": pair.answer}
    )


def _differences(
    subject: Subject, pairs: Sequence[Pair], logits: Float[Tensor, "batch vocab"]
) -> Float[Tensor, " batch"]:
    vocabulary, rows = subject.tokenizer.get_vocab(), torch.arange(len(pairs))
    return logits[rows, [vocabulary[p.answer] for p in pairs]] - logits[rows, [vocabulary[p.foil] for p in pairs]]
