"""Relevance propagation on the way to a record: what exchanging a value does, by gradients at several points, averaged.

Where a model is sure of its answer, the gradient at the record itself says little of what an exchange would do. So the
gradient is taken at points on the straight line from a record without values (in place of each stands the mean of all
values' embeddings) to the record, and averaged: the idea of integrated gradients (Sundararajan, Taly, Yan 2017) with
the backward rules of RelP (Rezaei Jafari et al. 2025). An exchange is worth that mean gradient times the difference of
the two values' embeddings. Rules are those of the tool `relp`, which has no points between; a test holds both together.

Deviations from integrated gradients: three points and no end, and the gradient is multiplied with the exchange instead
of with the way.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...tools import Subject
from ..organisms._hidden_text import NO, YES, prompt, value_position
from ..organisms._hidden_tree import FIELDS, VALUES, Records

POINTS = (0.25, 0.5, 0.75)  # of the way to the record (share)
TINY = 1e-6  # an activation's input is taken to be no nearer to 0, where f(x) / x has a limit and no value


def exchange_effects(
    subject: Subject, records: Records, points: Sequence[float] = POINTS
) -> Float[np.ndarray, "_ _ _"]:
    """Of each record, what exchanging each field for each value adds to yes less no (nats); its own values add 0.

    Args:
        points: Where gradients are taken: 1 is the record, 0 the one without values.
    """
    at = [value_position(field) for field in range(len(FIELDS))]
    own = subject.embed(subject.tokenise([prompt(record) for record in records]).ids)
    values = subject.embed(torch.tensor([subject.tokenizer.convert_tokens_to_ids(list(VALUES))]))[0]
    without = own.clone()
    without[:, at] = values.mean(0)
    gradients = [_gradient(subject, without + share * (own - without))[:, at] for share in points]
    each = torch.stack(gradients).mean(0) @ values.T
    table = each.double().cpu().numpy()
    return table - np.take_along_axis(table, records[:, :, None], -1)


def _gradient(subject: Subject, start: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
    """Of yes less no, by the embeddings of tokens, under the rules."""
    yes, no = subject.tokenizer.convert_tokens_to_ids([YES, NO])
    with torch.enable_grad(), relevance_rules(subject):
        start = start.detach().requires_grad_()
        logits = subject.model(inputs_embeds=start, use_cache=False).logits[:, -1]
        return torch.autograd.grad((logits[:, yes] - logits[:, no]).sum(), start)[0]


@contextmanager
def relevance_rules(subject: Subject) -> Iterator[None]:
    """While this is open, norms' denominators and f(x) / x of activations are constants to gradients; no value moves.

    Organisms are GPT-2, whose names these are.
    """
    with ExitStack() as stack:
        for name, module in subject.model.named_modules():
            if isinstance(module, nn.LayerNorm):
                stack.callback(module.register_forward_hook(_held_denominator).remove)
            elif name.endswith("mlp.act"):
                stack.callback(module.register_forward_hook(_held_ratio).remove)
        yield


def _held_denominator(norm: nn.LayerNorm, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    centred = args[0] - args[0].mean(-1, keepdim=True)
    scale = (centred.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt().detach()
    return _with_value(centred / scale * norm.weight, output)


def _held_ratio(activation: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    x = args[0].detach()
    beside = torch.where(x.abs() < TINY, TINY, x)
    return _with_value(args[0] * (activation.forward(beside) / beside), output)


def _with_value(gradient_of: Tensor, value: Tensor) -> Tensor:
    """The value of one and the gradient of the other."""
    return value.detach() + (gradient_of - gradient_of.detach())
