"""The subject's own Hugging Face modules, each kind of part held from outside: nothing of ours takes part in the run.

Attention modules get the clean pattern through transformers' registry of attention functions, norm modules keep their
clean denominator, and MLP modules return what they returned, with something added to what an MLP writes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from vesalius.tools import Subject

HELD = "held-for-test"


def body_of(model: Any) -> tuple[Any, Any]:
    """The part of a model that holds its blocks, and the blocks."""
    body = getattr(model, "model", None) or getattr(model, "transformer", None) or model.gpt_neox
    return body, getattr(body, "layers", None) or body.h


def written_by(block: Any) -> Any:
    """The module whose output is what the MLP adds to the stream: Gemma norms it once more."""
    return getattr(block, "post_feedforward_layernorm", block.mlp)


@dataclass
class _Seen:
    """What the clean run did."""

    denominators: dict[Any, torch.Tensor] = field(default_factory=dict)
    mlp_in: list[torch.Tensor] = field(default_factory=list)
    mlp_out: list[torch.Tensor] = field(default_factory=list)  # in front of a norm behind the MLP
    patterns: tuple[torch.Tensor, ...] = ()
    heads: list[torch.Tensor] = field(default_factory=list)  # side by side, in front of their output matrix


class HeldModel:
    """A prompt, run clean once and then with parts held."""

    def __init__(self, subject: Subject, prompt: str) -> None:
        self.subject, self.ids, self.seen = subject, subject.tokenise([prompt]).ids, _Seen()
        self.body, self.blocks = body_of(subject.model)
        self.queries: dict[int, torch.Tensor] = {}  # of the last run with attention held, as they are multiplied
        self.keys: dict[int, torch.Tensor] = {}
        self.scaling: dict[int, float] = {}
        self.norms = [module for module in self.body.modules() if "Norm" in type(module).__name__]
        with torch.no_grad(), ExitStack() as stack:
            for norm in self.norms:
                stack.callback(norm.register_forward_pre_hook(self._remember).remove)
            for block in self.blocks:
                keep = block.mlp.register_forward_hook(self._keep)
                stack.callback(keep.remove)
            for modules in subject.architecture.blocks():
                keep = modules.attention_output.register_forward_pre_hook(
                    lambda _, args: self.seen.heads.append(args[0])
                )
                stack.callback(keep.remove)
            self.seen.patterns = subject.model(self.ids, use_cache=False, output_attentions=True).attentions

    def run(
        self,
        attention: bool,
        norms: bool,
        mlps: bool,
        added: Mapping[int, torch.Tensor],
        in_front: bool = False,
        skips: Sequence[torch.Tensor | None] = (),
        tokens: torch.Tensor | None = None,
        passing: Mapping[int, Sequence[int]] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """MLP inputs [row, layer, pos, d_model] and last logits [row, vocab] with these parts held.

        Args:
            added: To what MLPs write, by layer; in front of or behind a norm behind the MLP.
            skips: Per layer what passes beside a held MLP.
            tokens: What is added to the embedding.
            passing: By layer the heads that are not kept at what they gave in the clean run; all of layers not named.
        """
        n_rows, read = len(next(iter(added.values()))), []
        config = self.subject.model.config
        try:
            with torch.no_grad(), ExitStack() as stack:
                if attention:
                    ALL_ATTENTION_FUNCTIONS.register(HELD, self._attend)
                    config._attn_implementation = HELD
                for norm in self.norms if norms else ():
                    stack.callback(norm.register_forward_hook(self._normed).remove)
                if tokens is not None:
                    embedding = self.subject.architecture.embedding()
                    stack.callback(embedding.register_forward_hook(_giving(lambda out: out + tokens)).remove)
                for layer, heads in (passing or {}).items():
                    out = self.subject.architecture.blocks()[layer].attention_output
                    stack.callback(out.register_forward_pre_hook(self._keeping(layer, heads)).remove)
                for layer, block in enumerate(self.blocks):
                    note = block.mlp.register_forward_pre_hook(lambda _, args: read.append(args[0]))
                    stack.callback(note.remove)
                    more = added.get(layer, torch.zeros(()))
                    if mlps:
                        clean = self.seen.mlp_out[layer]
                        stack.callback(block.mlp.register_forward_hook(_giving(lambda _, clean=clean: clean)).remove)
                    writer = block.mlp if in_front else written_by(block)
                    hook = _giving(lambda out, more=more: out + more)
                    # In front: before the norm behind the MLP sees it; behind: after that norm's own hook.
                    stack.callback(writer.register_forward_hook(hook).remove)
                    if mlps and skips and skips[layer] is not None:
                        stack.callback(written_by(block).register_forward_hook(self._beside(layer, skips, read)).remove)
                logits = self.subject.model(self.ids.expand(n_rows, -1), use_cache=False).logits[:, -1]
        finally:
            config._attn_implementation = "eager"
        return torch.stack(read, 1), logits

    def _remember(self, module: Any, args: tuple[torch.Tensor, ...]) -> None:
        x = args[0]
        centred = x - x.mean(-1, keepdim=True) if hasattr(module, "normalized_shape") else x
        eps = module.eps if hasattr(module, "eps") else module.variance_epsilon
        self.seen.denominators[module] = (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt()

    def _keep(self, _: Any, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        self.seen.mlp_in.append(args[0])
        self.seen.mlp_out.append(out)

    def _normed(self, module: Any, args: tuple[torch.Tensor, ...], _: torch.Tensor) -> torch.Tensor:
        x = args[0]
        centred = x - x.mean(-1, keepdim=True) if hasattr(module, "normalized_shape") else x
        weight = 1 + module.weight if type(module).__name__.startswith("Gemma") else module.weight
        normed = centred / self.seen.denominators[module] * weight
        return normed + module.bias if getattr(module, "bias", None) is not None else normed

    def _attend(self, module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **_: Any) -> Any:
        pattern = self.seen.patterns[module.layer_idx]
        repeated = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        self.queries[module.layer_idx], self.keys[module.layer_idx] = query, repeated
        self.scaling[module.layer_idx] = module.scaling
        value = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        return (pattern @ value).transpose(1, 2), pattern

    def _beside(self, layer: int, skips: Sequence[torch.Tensor | None], read: list[torch.Tensor]) -> Callable[..., Any]:
        return _giving(lambda out: out + (read[layer] - self.seen.mlp_in[layer]) @ skips[layer])

    def _keeping(self, layer: int, heads: Sequence[int]) -> Callable[..., Any]:
        width, clean = self.subject.shape.d_head, self.seen.heads[layer]

        def hook(_: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            kept = clean.expand_as(args[0]).clone()
            for head in heads:
                mine = slice(head * width, (head + 1) * width)
                kept[..., mine] = args[0][..., mine]
            return (kept,)

        return hook


def _giving(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A hook that gives something else than the module did."""
    return lambda _, __, out: change(out)
