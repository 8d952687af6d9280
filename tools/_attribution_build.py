"""Rows of an attribution graph put together: which features become nodes, and the square matrix between all nodes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._attribution_local import LocalModel, frozen_run
from ._attribution_scores import Kinds, influence, shares
from ._attribution_sweep import Targets, direct_effects, feature_targets
from ._base import Progress, ToolError

ROUNDS = 8  # times that the ranking of features is renewed while they are chosen
LARGEST_TABLE = 2**29  # links held at once: 2 GiB in single precision
INTERVENTIONS = 8


@dataclass(frozen=True)
class Graph:
    """A graph before pruning. Nodes in order: chosen features, errors by layer, tokens, logits."""

    local: LocalModel
    targets: Targets  # chosen features, then logits
    chosen: Int[Tensor, " _"]  # numbers of the chosen among the active features
    effects: Float[Tensor, "batch feature"]  # of every source on every target
    constants: Float[Tensor, " batch"]
    weight: Float[Tensor, " _"]

    @property
    def n_errors(self) -> int:
        """Error nodes (count): one per layer and position."""
        return len(self.local.blocks) * len(self.local.ids)

    @property
    def adjacency(self) -> Float[Tensor, "batch batch"]:
        """Rows are targets, columns sources, over all nodes."""
        n_features, n_logits = len(self.chosen), len(self.weight)
        columns = torch.cat([self.effects[:, self.chosen], self.effects[:, self.local.n_active :]], 1)
        n_nodes = columns.shape[1] + n_logits
        square = columns.new_zeros(n_nodes, n_nodes)
        square[:n_features, : columns.shape[1]] = columns[:n_features]
        square[n_nodes - n_logits :, : columns.shape[1]] = columns[n_features:]
        return square

    @property
    def node_weight(self) -> Float[Tensor, " batch"]:
        """The weight of each logit, and zero for every other node."""
        others = self.weight.new_zeros(len(self.chosen) + self.n_errors + len(self.local.ids))
        return torch.cat([others, self.weight])

    @property
    def kinds(self) -> Kinds:
        """Which nodes are what."""
        counts = (len(self.chosen), self.n_errors, len(self.local.ids), len(self.weight))
        kind = torch.repeat_interleave(torch.arange(4), torch.tensor(counts)).to(self.weight.device)
        return Kinds(error=kind == 1, token=kind == 2, logit=kind == 3)


def build(
    local: LocalModel, logits: Targets, weight: Float[Tensor, " batch"], max_features: int, progress: Progress
) -> Graph:
    """Direct effects on the logits and on the features that matter most to them.

    Where more are active than may be nodes, features join in rounds, each time those of largest influence over the
    paths found so far (as in circuit-tracer).

    Raises:
        ToolError: the table of links would not fit in memory.
    """
    due = min(local.n_active, max_features)
    if (due + len(weight)) * local.n_sources > LARGEST_TABLE:
        fits = max(1, LARGEST_TABLE // local.n_sources // 2)
        raise ToolError(
            f"{due} feature nodes with {local.n_sources} sources each are {due * local.n_sources} links.",
            mend=f"Shorten the prompt, lower `max_feature_nodes` to {fits}, or use a sparser dictionary.",
        )
    logit_rows, logit_constants = direct_effects(local, logits)
    chosen = torch.arange(local.n_active if due == local.n_active else 0, device=weight.device)
    targets = feature_targets(local, chosen)
    rows, constants = direct_effects(local, targets)
    while len(chosen) < due:
        progress(len(chosen), due, "choosing features")
        size = min(due - len(chosen), -(-due // ROUNDS))
        fresh = _most_influential(local, logit_rows, rows, chosen, weight, size)
        more, more_constants = direct_effects(local, feature_targets(local, fresh))
        chosen, rows = torch.cat([chosen, fresh]), torch.cat([rows, more])
        constants = torch.cat([constants, more_constants])
    order = chosen.argsort()
    features = feature_targets(local, chosen[order])
    both = (torch.cat(pair) for pair in zip(vars(features).values(), vars(logits).values(), strict=True))
    return Graph(
        local=local,
        targets=Targets(*both),
        chosen=chosen[order],
        effects=torch.cat([rows[order], logit_rows]),
        constants=torch.cat([constants[order], logit_constants]),
        weight=weight,
    )


def _most_influential(
    local: LocalModel,
    logit_rows: Float[Tensor, "_ feature"],
    rows: Float[Tensor, "batch feature"],
    chosen: Int[Tensor, " batch"],
    weight: Float[Tensor, " _"],
    size: int,
) -> Int[Tensor, " _"]:
    """The features outside the graph with the largest influence over paths inside it."""
    share = shares(rows)
    step = weight @ shares(logit_rows)
    reach = torch.zeros_like(step)
    while step.any():
        reach, step = reach + step, step[chosen] @ share
    reach = reach[: local.n_active]
    reach[chosen] = -1
    return reach.sort(descending=True, stable=True).indices[:size]


def intervention_error(graph: Graph) -> tuple[float, int]:
    """Add the strongest sources one by one to a run of the local replacement model and compare with their links.

    Returns:
        Largest difference between a target's change and its link, as a share of the source's largest link, and the
        number of sources.
    """
    local, adjacency = graph.local, graph.adjacency
    reach = influence(shares(adjacency), graph.node_weight)[: adjacency.shape[1] - len(graph.weight)]
    strongest = reach.sort(descending=True, stable=True).indices[:INTERVENTIONS]
    strongest = strongest[reach[strongest] > 0]
    beyond = strongest + local.n_active - len(graph.chosen)
    sources = [
        int(graph.chosen[node]) if node < len(graph.chosen) else int(other)
        for node, other in zip(strongest.tolist(), beyond, strict=True)
    ]
    moved = _moved(graph, sources)
    links = graph.effects[:, sources].T
    return ((moved - links).abs().amax(1) / links.abs().amax(1)).max().item(), len(sources)


def _moved(graph: Graph, sources: list[int]) -> Float[Tensor, "_ batch"]:
    """By how much each source moves each target in a forward run."""
    local, targets = graph.local, graph.targets
    n_layers, n_pos = len(local.blocks), len(local.ids)
    to_tokens = local.embedding.new_zeros(len(sources) + 1, *local.embedding.shape)  # the last row stays as it was
    to_mlps = local.embedding.new_zeros(len(sources) + 1, n_layers, *local.embedding.shape)
    layers, positions = local.layer, local.position
    for row, source in enumerate(sources):
        layer, position = divmod(source - local.n_active, n_pos)
        if source < local.n_active:
            layer, position = int(layers[source]), int(positions[source])
            within = torch.tensor([source - int((layers < layer).sum())], device=layers.device)
            to_mlps[row, layer, position] = local.blocks[layer].writes(within)[0]
        elif layer < n_layers:
            to_mlps[row, layer, position] = local.blocks[layer].error[position]
        else:
            to_tokens[row, position] = local.embedding[position]
    run = frozen_run(local, to_tokens, to_mlps)
    read = torch.cat([run.mlp_in, run.final[:, None]], 1)
    change = (read[:-1] - read[-1:])[:, targets.layer, targets.position]
    return (change * targets.vector).sum(-1)
