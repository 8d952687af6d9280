"""What a search for a circuit found, in sentences whose figures are references: one text for page, Markdown and steps.

Every figure of the circuit stands beside that of random circuits of its size. CPR comes with its warning only.
"""

from collections.abc import Sequence

from ...tools import Measurement
from ..planners._plain import name, number, say, share
from ._sentence import Sentence

TOOL = "circuit_search"
ENOUGH, LITTLE = 0.8, 0.2  # share of the answer that is nearly all of it, or next to nothing of it
STABLE = 0.8  # Jaccard overlap from which single links of a circuit can be relied on (MIB, Mueller et al. 2025)


def circuits_of(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The searches among measurements."""
    return [m for m in measurements if m.tool == TOOL]


def circuit_headline(m: Measurement) -> Sentence:
    """How large the circuit is, and what it keeps of the answer alone."""
    return say(
        "A circuit of",
        number(m.id, "n_circuit", "d"),
        "of",
        number(m.id, "n_links", "d"),
        "links keeps",
        _by_family(m, "faithfulness"),
        "of what tells the answers apart;",
        "without it",
        _by_family(m, "complement"),
        "is left.",
    )


def circuit_sentences(m: Measurement, explored: bool) -> list[Sentence]:
    """The finding in plain words, its controls, how stable it is, and what was left out."""
    told = [circuit_headline(m), _in_short(m)]
    if explored:
        told.append(say("This is observed on prompts of the exploration; no prediction about it was sealed or tested."))
    if m.subject.reinit_seed is not None:
        told.append(say("It was searched in the re-initialised twin: the model has not learned it."))
    if m.result["random_faithfulness"]:
        told.append(
            say(
                "Random circuits of its size keep",
                _by_family(m, "random_faithfulness"),
                "and without them",
                _by_family(m, "random_complement"),
                "is left: that is the control.",
            )
        )
    told += [*_stability(m), *_areas(m), *_limits(m)]
    return told


def _in_short(m: Measurement) -> Sentence:
    """What the two shares mean together."""
    enough, needed = min(m.result["faithfulness"]) >= ENOUGH, max(m.result["complement"]) <= LITTLE
    if enough and needed:
        return say("So on these prompts it does nearly all that the model does, and the answer needs it.")
    if needed:
        return say(
            "So on these prompts the answer needs it, but it is not enough alone: links of smaller effect help too."
        )
    if enough:
        return say("So on these prompts it is enough alone, but not needed: other links carry the answer as well.")
    return say("So on these prompts it is neither enough alone nor needed: much of the answer runs elsewhere.")


def _by_family(m: Measurement, field: str) -> str:
    """A share, or from the least to the most of several families where that shows."""
    if f"{min(m.result[field]):.0%}" == f"{max(m.result[field]):.0%}":
        return share(m.id, f"{field}.0")
    return f"{share(m.id, f'{field}.min')} to {share(m.id, f'{field}.max')} (by family)"


def _stability(m: Measurement) -> list[Sentence]:
    found = m.result["jaccard"]
    if found is None:
        return [say("How stable it is was not measured: the pairs were not resampled.")]
    trust = "enough to rely on its links" if found >= STABLE else "too little to rely on any single link"
    overlap = number(m.id, "jaccard")
    return [say("Circuits of resampled pairs share", overlap, f"of their links on average (Jaccard), {trust}.")]


def _areas(m: Measurement) -> list[Sentence]:
    return [
        say(
            "Over circuits of every size, the strongest links first, what they keep is",
            number(m.id, "cmd"),
            "from the whole on average (CMD; nothing is best). CPR is",
            number(m.id, "cpr") + ", and has no upper bound: a circuit that exaggerates the answer has more of it, so "
            "do not choose by it.",
        )
    ]


def _limits(m: Measurement) -> list[Sentence]:
    told: list[Sentence] = []
    families = m.result["families"]
    if len(families) == 1:
        told.append(
            say(
                f"Only one family of counterfactuals was given, {name(families[0])}. One family cannot reveal a whole "
                "circuit: parts that read what these prompts share with their counterfactuals do not show."
            )
        )
    if m.result["n_contexts_left"]:
        left = number(m.id, "n_contexts_left", "d")
        told.append(
            say("Of the parts that could hide a stand-in,", left, "were not taken out, so links may be missing.")
        )
    return told
