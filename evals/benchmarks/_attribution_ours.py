"""Our engine at work on one case of the attribution benchmark: a process that answers one line for each line.

The same lines as circuit-tracer's process (`_peer_script.py`), the same clock (`_process_cost.py`), and the same work:
from the prompt to all links, features and errors at the first token left out. Besides those: `certified`, a run with
certified links; `held`, how far those are from the ordinary ones; `sweep`, the links alone from a model that ran
already; `products`, the multiplications that the exact graph needs; `rate`, how many the machine does in a second.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import save_file

from ...tools import (
    Graph,
    Links,
    LocalModel,
    Pruned,
    Sources,
    answer_vectors,
    build_graph,
    count_products,
    dictionary_of,
    load_subject,
    local_model,
    logit_targets,
    most_likely,
    prune,
    scores,
)
from ._process_cost import peak_of, timed
from ._served_lines import run_served, serve

MOST_LOGITS, PROBABILITY = 10, 0.95  # circuit-tracer's defaults
UPDATE_INTERVAL = 4  # its batches per round
NODE_THRESHOLD, EDGE_THRESHOLD = 0.8, 0.98
CERTIFIED = 1e-3  # of its row: what is asked of every certified link
SIDE = 1024  # of the square matrices that measure the machine's rate
PRODUCTS_TIMED = 10


def main(request: dict[str, Any], answers: TextIO) -> None:
    """Load, run once, and serve lines until there are none."""
    torch.set_num_threads(request["threads"])
    case = Path(request["case"])
    prompt = json.loads((case / "case.json").read_text())["prompt"]
    subject = load_subject(str(case / "model"), device=request["device"], dtype=getattr(torch, request["dtype"]))
    torch.set_num_threads(request["threads"])  # loading a small model sets it to one
    dictionary = dictionary_of(subject, str(case / "dictionary"), force=True)

    def run(batch_size: int, certified: float | None = None) -> Graph:
        made = _swept(local_model(subject, dictionary, prompt, skip_first=True), request, batch_size, certified)
        if request["device"] == "cuda":
            torch.cuda.synchronize()  # a card is asked ahead of what it has done
        return made

    graph = run(request["batch_size"])

    def answer(line: str) -> dict[str, Any]:
        word, *argument = line.split()
        batch_size = int(argument[0]) if argument else request["batch_size"]
        again = partial(run, batch_size, certified=CERTIFIED if word in ("certified", "held") else None)
        if word == "sweep":
            again = partial(_swept, graph.local, request, batch_size)
        return _answer(word, graph, again, Path(request["out"]))

    serve({"logits_differ": 0.0, "active": graph.local.n_active}, answer, answers)


def _swept(local: LocalModel, request: dict[str, Any], batch_size: int, certified: float | None = None) -> Graph:
    answer = most_likely(local.probabilities, PROBABILITY, MOST_LOGITS)
    targets = logit_targets(local, answer_vectors(local, answer, None))
    limit = request["max_feature_nodes"] or local.n_active
    weight, size = local.probabilities[answer], UPDATE_INTERVAL * batch_size
    return build_graph(local, targets, weight, limit, round_size=size, certified=certified)


def _answer(word: str, graph: Graph, run: Any, out: Path) -> dict[str, Any]:

    def pruned() -> Pruned:
        fresh = Links(graph.links.n_nodes, graph.links.blocks)  # which remembers no sum of an earlier time
        return prune(fresh, graph.weight, graph.kinds, NODE_THRESHOLD, EDGE_THRESHOLD)

    match word:
        case "run" | "certified" | "sweep" | "prune":
            cost = timed(pruned if word == "prune" else run)[1]
            return {"cpu_s": cost.cpu_s, "wall_s": cost.wall_s}
        case "peak" | "prune_peak":
            return {"peak_bytes": peak_of(run if word == "peak" else pruned)[1]}
        case "held":
            return _held(graph, run())
        case "graph":
            return _write_graph(graph, out / "graph.safetensors")
        case "pruning":
            return _write_pruning(graph, pruned(), out / "pruning.safetensors")
        case "products":
            return {"products": count_products(graph.local, Sources(graph.local), graph.targets)}
        case "rate":
            square = torch.randn(SIDE, SIDE)
            cost = timed(lambda: [square @ square for _ in range(PRODUCTS_TIMED)])[1]
            return {"per_s": PRODUCTS_TIMED * SIDE**3 / cost.wall_s}
    raise ValueError(f"no such line: {word}")


def _held(exact: Graph, certified: Graph) -> dict[str, Any]:
    """How far certified links are from the ordinary ones at most, and how far they claim to be."""
    assert certified.certificate is not None, "it was asked for"
    assert torch.equal(exact.chosen, certified.chosen), "features of the same influence: take another seed"
    sources = torch.arange(exact.local.n_sources)
    due, found = (graph.links.into(graph.targets.number, sources) for graph in (exact, certified))
    share = (found - due).abs_().amax(1) / due.abs().sum(1).clamp(min=1e-20)
    claimed = certified.certificate
    return {"found": share.max().item(), "bound": claimed.link_error, "recomputed": claimed.n_recomputed}


def _nodes(graph: Graph) -> torch.Tensor:
    return graph.present.nonzero()[:, 0]


def _write_graph(graph: Graph, path: Path) -> dict[str, str]:
    local, nodes = graph.local, _nodes(graph)
    logits = graph.targets.number[graph.targets.number >= local.n_sources]
    answer = most_likely(local.probabilities, PROBABILITY, len(logits))
    tensors = {
        "active_features": torch.stack([local.layer, local.position, local.feature], 1),
        "activation_values": local.activation,
        "selected_features": graph.chosen,
        "logit_tokens": answer,
        "logit_probabilities": local.probabilities[answer],
        "adjacency": graph.links.square(nodes),
    }
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path)
    return {"path": str(path)}


def _write_pruning(graph: Graph, pruned: Any, path: Path) -> dict[str, Any]:
    nodes = _nodes(graph)
    place = torch.full((len(graph.weight),), -1)
    place[nodes] = torch.arange(len(nodes))
    edges = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
    edges[place[pruned.targets], place[pruned.sources]] = True
    save_file({"node_mask": pruned.nodes[nodes], "edge_mask": edges, "cumulative_scores": graph.weight[nodes]}, path)
    replacement, completeness = scores(graph.links, graph.weight, graph.kinds)
    return {"path": str(path), "replacement_score": replacement, "completeness_score": completeness}


if __name__ == "__main__":
    run_served(main)
