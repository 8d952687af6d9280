"""An organism as a folder: the model for Hugging Face, the prompts, a card, and its circuit as others write circuits.

| file | holds |
| --- | --- |
| `model.safetensors`, `config.json`, tokenizer | the model |
| `card.json` | what is true of it, the links, and every figure it was verified by |
| `pairs.json` | per counterfactual family the prompts, counterfactuals and answers |
| `mib.json` | the circuit as a graph of MIB (Mueller et al. 2025), readable by its `Graph.from_json` |
| `annotation.json` | the components as in AgenticInterpBench (Khan, Kohli, Yao, Sun, Yao 2026) |
| `truth.safetensors` | the direction of every label of every variable, and of every channel |
| `tasks.json` | task data, where the prompts are questions about entities; the card then names the neurons |

Of AgenticInterpBench the form of `components` (id, TransformerLens hook, role with tag and note, labels) and of
`task.examples` is the published one, and so are the tags INDICATOR and AGGREGATOR. The names of the other keys and the
tags MOVER and MAPPER are ours: the published files were not at hand.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ...tools import CircuitGraph
from ._compile import Compiled
from ._compile_neurons import n_neurons
from ._compile_place import Place
from ._new_folder import new_folder
from ._organism import Organism

N_EXAMPLES = 5  # of the task, in an annotation (count)


def write_organism(organism: Organism, folder: Path, one: Compiled | None = None) -> dict[str, Any]:
    """Write an organism into a new folder.

    Args:
        one: What a compiled organism was made from.

    Returns:
        The card.

    Raises:
        FileExistsError: the folder is there already.
    """
    subject = organism.subject
    with new_folder(folder) as part:
        subject.model.save_pretrained(part)
        subject.tokenizer.save_pretrained(part)
        pairs = {name: [pair.model_dump() for pair in family] for name, family in organism.families.items()}
        _write(part / "pairs.json", pairs)
        _write(part / "mib.json", mib_circuit(organism))
        if one is not None:
            _write(part / "annotation.json", annotation(one))
            channels = {
                f"channel.{name}.{way}": getattr(vectors, way)
                for name, vectors in one.channels.items()
                for way in ("read", "write")
            }
            save_file({**one.directions, **channels}, part / "truth.safetensors")
            if one.circuit.asked:
                _write(part / "tasks.json", {"families": [family.model_dump() for family in one.circuit.asked]})
        content = card(organism, one)
        _write(part / "card.json", content)
    return content


def true_names(one: Compiled) -> dict[str, str]:
    """What the neurons of tables stand for, by LAYER/NEURON, where the circuit says so."""
    found: dict[str, str] = {}
    next_of: dict[int, int] = {}
    for name, place in one.layout.places.items():
        if place.head is not None:
            continue
        first = next_of.get(place.layer, 0)
        next_of[place.layer] = first + n_neurons(one.circuit.program.by_name[name])
        labels = one.circuit.features.get(name, ())
        found |= {f"{place.layer}/{first + i}": label for i, label in enumerate(labels)}
    return found


def card(organism: Organism, one: Compiled | None) -> dict[str, Any]:
    """What is true of an organism and how that was checked."""
    content: dict[str, Any] = {
        "name": organism.name,
        "kind": organism.kind,
        "truth": organism.truth,
        "links": sorted(f"{node}->{slot}" for node, slot in organism.links),
        "verified": dict(organism.verified),
    }
    if one is not None:
        content["program"] = one.circuit.program.text().splitlines()
        content["places"] = {name: place.node for name, place in one.layout.places.items()}
        content["decoys"] = sorted(set(one.layout.places) - one.circuit.program.used)
        if one.circuit.features:
            content["features"] = true_names(one)
        content["style"] = {"leak": one.style.leak, "sharpness": one.style.sharpness, "height": one.style.height}
    return content


def mib_circuit(organism: Organism) -> dict[str, Any]:
    """The true circuit as a graph in MIB's form: every node and link of the model, and whether it belongs to it."""
    shape = organism.subject.shape
    graph = CircuitGraph(shape)
    edges = {
        name: {"score": float(link in organism.links), "in_graph": link in organism.links}
        for link in graph.links
        for name in graph.mib(link)
    }
    inside = {node for name, edge in edges.items() if edge["in_graph"] for node in _ends(name)}
    names = dict.fromkeys(node for name in edges for node in _ends(name))
    return {
        "cfg": {
            "n_layers": shape.n_layers,
            "n_heads": shape.n_heads,
            "parallel_attn_mlp": shape.parallel,
            "d_model": shape.d_model,
        },
        "nodes": {name: {"in_graph": name in inside} for name in names},
        "edges": edges,
    }


def annotation(one: Compiled) -> dict[str, Any]:
    """The components of the true circuit with their roles, in AgenticInterpBench's form."""
    program, shape = one.circuit.program, one.organism.subject.shape
    by_place: dict[Place, list[str]] = {}
    for name, place in one.layout.places.items():
        if name in program.used:
            by_place.setdefault(place, []).append(name)
    pairs = [pair for family in one.organism.families.values() for pair in family][:N_EXAMPLES]
    return {
        "id": one.organism.name,
        "task": {
            "summary": one.organism.truth,
            "examples": [{"input": pair.base.split(), "output": pair.answer} for pair in pairs],
        },
        "program": program.text(),
        "model": {"n_layers": shape.n_layers, "n_heads": shape.n_heads, "d_model": shape.d_model},
        "components": [_component(one, place, names) for place, names in by_place.items()],
    }


def _component(one: Compiled, place: Place, names: list[str]) -> dict[str, Any]:
    operations = [one.circuit.program.by_name[name] for name in names]
    if place.head is None:
        where = {"id": f"L{place.layer}_MLP", "hook": f"blocks.{place.layer}.mlp.hook_post"}
    else:
        hook = f"blocks.{place.layer}.attn.hook_result[{place.head}]"
        where = {"id": f"L{place.layer}H{place.head}_ATTN", "hook": hook}
    note = " ".join(operation.note for operation in operations if operation.note)
    return {**where, "role": {"tag": operations[0].role, "note": note}, "labels": names}


def _ends(edge: str) -> tuple[str, str]:
    source, target = edge.split("->")
    return source, target.split("<")[0]


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
