"""Nodes of an attribution graph by the ids that graphs print: `LAYER/FEATURE@POS`, `error.LAYER@POS`, `token@POS`,
`logit.TOKEN@POS`, and `logit.TOKEN-FOIL@POS` for a difference; tokens of logits by number.
"""

import re
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from ._attribution_local import LocalModel
from ._attribution_nodes import Targets, answer_vectors, feature_targets, logit_targets
from ._attribution_types import NodeKind
from ._base import ToolError
from ._dictionary import Dictionary
from ._reader import Tokens
from ._subject import Subject

SPELLINGS = "`LAYER/FEATURE@POS`, `error.LAYER@POS`, `token@POS`, or `logit.TOKEN@POS` with TOKEN a number"
_PATTERNS: dict[NodeKind, str] = {
    "feature": r"(\d+)/(\d+)@(\d+)",
    "error": r"error\.(\d+)@(\d+)",
    "token": r"token@(\d+)",
    "logit": r"logit\.(\d+)(?:-(\d+))?@(\d+)",
}


@dataclass(frozen=True)
class Node:
    """What an id says, checked against the subject, the dictionary and the prompt's length."""

    id: str
    kind: NodeKind
    layer: int  # -1 for tokens, the number of layers for logits
    position: int
    number: int = 0  # of a feature in its layer, or of a logit's token
    foil: int | None = None

    def requires_below(self, target: "Node") -> None:
        """Refuse a pair that no link can join.

        Raises:
            ToolError: the target reads nothing, or the source is written where the target does not look.
        """
        if target.kind not in ("feature", "logit"):
            raise ToolError(
                f"`{target.id}` reads nothing, so nothing leads to it.", mend="Give a feature or a logit as target."
            )
        if self.kind == "logit":
            raise ToolError(f"`{self.id}` writes nothing.", mend="Give a feature, an error or a token as source.")
        if self.layer >= target.layer or self.position > target.position:
            raise ToolError(
                f"`{self.id}` is no input of `{target.id}`: a target reads what lower layers wrote, up to its token.",
                mend=f"Give a source of a layer below {target.layer} at one of the tokens 0..{target.position}.",
            )


def parse_node(subject: Subject, dictionary: Dictionary, tokens: Tokens, text: str) -> Node:
    """The node of that id, before anything runs.

    Raises:
        ToolError: written otherwise, or a layer, feature, token or position that is not there.
    """
    name, length = text.strip(), tokens.lengths[0]
    found: list[tuple[NodeKind, re.Match[str]]] = [
        (kind, match) for kind, pattern in _PATTERNS.items() if (match := re.fullmatch(pattern, name))
    ]
    if not found:
        raise ToolError(f"`{text}` names no node.", mend=f"Write it as {SPELLINGS}.")
    kind, match = found[0]
    numbers = [None if group is None else int(group) for group in match.groups()]
    position, n_layers = numbers[-1], subject.shape.n_layers
    assert position is not None, f"{name} matched without a position"
    if position >= length:
        raise ToolError(f"`{text}`: the prompt has no token {position}.", mend=f"Its tokens: 0..{length - 1}.")
    if kind == "token":
        return Node(name, kind, -1, position)
    if kind == "feature":
        layer, feature = dictionary.feature(name.partition("@")[0])
        return Node(name, kind, layer.layer, position, feature)
    first = numbers[0]
    assert first is not None, f"{name} matched without a number"
    if kind == "error":
        if first >= n_layers:
            raise ToolError(f"`{text}`: there is no layer {first}.", mend=f"Layers: 0..{n_layers - 1}.")
        return Node(name, kind, first, position)
    if position != length - 1:
        raise ToolError(f"`{text}`: logits are those after the last token.", mend=f"Write `@{length - 1}`.")
    beyond = [number for number in numbers[:2] if number is not None and number >= subject.shape.n_vocab]
    if beyond or first == numbers[1]:
        raise ToolError(
            f"`{text}` names no logit.", mend=f"Tokens: 0..{subject.shape.n_vocab - 1}; a foil is another token."
        )
    return Node(name, kind, n_layers, position, first, numbers[1])


def source_number(local: LocalModel, node: Node) -> int:
    """A source's number in the engine.

    Raises:
        ToolError: a feature that is not active there.
    """
    if node.kind == "token":
        return local.n_active + len(local.blocks) * len(local.ids) + node.position
    if node.kind == "error":
        return local.n_active + node.layer * len(local.ids) + node.position
    here = (local.layer == node.layer) & (local.position == node.position)
    found = (here & (local.feature == node.number)).nonzero()[:, 0]
    if len(found):
        return int(found[0])
    same = (local.layer == node.layer) & (local.feature == node.number)
    elsewhere = ", ".join(map(str, local.position[same].tolist()))
    active = local.feature[here]
    strongest = active[local.activation[here].abs().sort(descending=True).indices[:5]].tolist()
    raise ToolError(
        f"Feature `{node.id}` is not active there" + (f", only at {elsewhere}." if elsewhere else ", nor elsewhere."),
        mend=f"Strongest of layer {node.layer} at that token: "
        + (", ".join(f"`{node.layer}/{feature}@{node.position}`" for feature in strongest) or "none")
        + ".",
    )


def target_of(local: LocalModel, node: Node) -> Targets:
    """A feature or logit as the engine's target.

    Raises:
        ToolError: a feature that is not active there.
    """
    if node.kind == "logit":
        answer = torch.tensor([node.number], device=local.W_U.device)
        return logit_targets(local, answer_vectors(local, answer, node.foil))
    return feature_targets(local, torch.tensor([source_number(local, node)], device=local.embedding.device))


def source_names(local: LocalModel, numbers: Int[Tensor, " _"]) -> list[str]:
    """Ids of some sources."""
    names, n_pos = [], len(local.ids)
    layers, positions, features = local.layer, local.position, local.feature
    for number in numbers.tolist():
        layer, at = divmod(number - local.n_active, n_pos)
        if number < local.n_active:
            names.append(f"{int(layers[number])}/{int(features[number])}@{int(positions[number])}")
        else:
            names.append(f"error.{layer}@{at}" if layer < len(local.blocks) else f"token@{at}")
    return names
