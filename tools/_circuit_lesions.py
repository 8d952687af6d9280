"""A subject from which some nodes were taken out: what the rest of it does then, as a model of its own.

Where one part stands in for another that fails, cutting a link of either changes nothing, and neither is seen. With
the first taken out, every instrument sees the second.
"""

import copy
from collections.abc import Collection

import torch
from torch import Tensor

from ._base import ToolError
from ._circuit_graph import START
from ._subject import Subject

NODES = ("head", "mlp_out")


def nodes_named(subject: Subject, names: Collection[str]) -> frozenset[str]:
    """Heads and MLPs by their own names.

    Raises:
        ToolError: no such site, or one that is neither.
    """
    sites = [subject.site(name) for name in names]
    if other := [str(site) for site in sites if site.kind not in NODES]:
        raise ToolError(
            f"{other[0]} cannot be taken out.", mend="Name heads (head.LAYER.HEAD) and MLPs (mlp_out.LAYER)."
        )
    return frozenset(map(str, sites))


def without(subject: Subject, nodes: Collection[str]) -> Subject:
    """A copy of the subject in which these heads and MLPs write nothing: their output matrices are zero."""
    model = copy.deepcopy(subject.model)
    lesioned = Subject(model, subject.tokenizer, f"{subject.name} without {', '.join(sorted(nodes))}", None, None)
    for node in nodes:
        assert node != START, "the start cannot be taken out"
        kind, layer, *head = node.split(".")
        weights = lesioned.weights(int(layer))
        if kind == "head":
            _blank(model, weights.W_O[int(head[0])])
        else:
            _blank(model, weights.W_down)
            if weights.b_down.any():  # made of zeros, and no view, where the model has none
                _blank(model, weights.b_down)
    return lesioned


def _blank(model: torch.nn.Module, view: Tensor) -> None:
    """Zeros in a parameter, through a view of it."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    assert view.untyped_storage().data_ptr() in own, "the adapter gives a copy of these weights, not a view"
    view.zero_()
