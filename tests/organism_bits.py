"""Whether two organisms are one and the same."""

import torch
from vesalius.evals.organisms._organism import Organism


def same_bits(one: Organism, other: Organism) -> bool:
    """Whether they have equal weights, bit for bit, and equal prompts."""
    first, second = (organism.subject.model.state_dict() for organism in (one, other))
    return (
        first.keys() == second.keys()
        and all(torch.equal(first[name], second[name]) for name in first)
        and one.families == other.families
    )
