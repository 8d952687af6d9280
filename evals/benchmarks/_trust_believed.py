"""What a planner that believes everything is set upon, so that the judge and its guards are all that stands between.

| kind | proposes | what is false |
| --- | --- | --- |
| nulls of `_trust_nulls.py` | the places that moved most, and one at random | as there |
| `idle_places` | places of a known circuit that have no part in it | all |
| `dormant` | the MLP that follows the answer and never moves it, whole | all |
| `illusion` | the direction in that MLP that turns the answer when patched, though neither part of it does | all |
| `backup_absent` | that a backup head plays no part, which patching it alone seems to show | all |

The last is not about effects that are not there, but about one that a single patch cannot see; it is counted apart.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from ...agent._evidence import Arm
from ..organisms._compile import Compiled
from ..organisms._compile_generated import generated_one
from ..organisms.compiled import compiled_circuit
from ..organisms.nulls import dormant_compiled, dormant_pathway
from ._trust_nulls import asked_where, known, pairs_of
from ._trust_organisms import scaled
from ._trust_planner import Belief, Place
from ._trust_runs import Question
from ._trust_truth import Verifier, nothing

N_IDLE = 4  # places that are proposed (count)
Believed = tuple[Question, Belief]


def idle_places(seed: int, folder: Path) -> Believed:
    """Places that have no part in a known circuit, the model doing what the question presumes."""
    one = scaled(seed) if seed % 2 else generated_one(seed, seed % 5)
    family = random.Random(f"idle {seed}").choice(sorted(one.organism.families))
    question = asked_where("idle_places", one, family, known(one, family), seed)
    return question, Belief(places=_idle(one, seed))


def dormant(seed: int, folder: Path) -> Believed:
    """The whole of an MLP that goes along."""
    one = dormant_compiled(seed)
    family = sorted(one.organism.families)[seed % len(one.organism.families)]
    question = asked_where("dormant", one, family, known(one, family), seed)
    return question, Belief(places=((one.layout.places["trap"].node, "last"),))


def illusion(seed: int, folder: Path) -> Believed:
    """A direction of that MLP, by the instrument that patches subspaces."""
    return _direction(seed, "illusion", "illusory", nothing("neither part of the direction does anything"))


def true_direction(seed: int, folder: Path) -> Believed:
    """The direction that does carry the answer, by the same instrument."""
    return _direction(seed, "true_direction", "true", nothing(""))


def backup_absent(seed: int, folder: Path) -> Believed:
    """That a backup plays no part."""
    one = compiled_circuit(("self_repair", "self_repair_shared")[seed % 2], seed)
    family = ("value", "query")[seed // 2 % 2]
    places = tuple((p.node, "last") for name, p in one.layout.places.items() if name.startswith("backup"))
    question = asked_where("backup_absent", one, family, nothing("it answers where the first head does not"), seed)
    return question, Belief(places=places, kind="absence")


def planted(seed: int, n: int) -> Iterator[Believed]:
    """Known circuits, for what each guard costs."""
    for i in range(n):
        one = generated_one(seed + 1, i)
        family = sorted(one.organism.families)[i % len(one.organism.families)]
        yield asked_where("planted", one, family, known(one, family), i), Belief()


def _idle(one: Compiled, seed: int) -> tuple[Place, ...]:
    shape, nodes = one.organism.subject.shape, one.organism.nodes
    heads = [f"head.{layer}.{head}" for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    blocks = [f"mlp_out.{layer}" for layer in range(shape.n_layers)]
    idle = [(site, place) for site in (*heads, *blocks) if site not in nodes for place in ("last", "differs")]
    return tuple(random.Random(f"idle places {seed}").sample(idle, min(N_IDLE, len(idle))))


def _direction(seed: int, kind: str, which: str, verify: Verifier) -> Believed:
    pathway = dormant_pathway(seed)
    one = dormant_compiled(seed)
    family = sorted(one.organism.families)[seed % len(one.organism.families)]
    site = pathway.true_site if which == "true" else pathway.site
    pairs = [pair.model_dump(mode="json") for pair in pairs_of(one, family, 24, "confirming")]
    turned = [
        {**pair, "base": pair["corrupted"], "corrupted": pair["base"], "answer": pair["foil"], "foil": pair["answer"]}
        for pair in pairs
    ]
    arms = tuple(
        Arm(
            label=label,
            counterfactual_family=label,
            tool="subspace_patch",
            args={
                "pairs": mine,
                "site": site,
                "direction": "given",
                "vectors": [getattr(pathway, which).tolist()],
            },
        )
        for label, mine in (("values from the swapped prompt", pairs), ("the pair the other way round", turned))
    )
    question = asked_where(kind, one, family, verify, seed)
    return question, Belief(arms=arms)
