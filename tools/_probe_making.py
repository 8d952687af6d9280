"""One request for probes, two makers behind it: the deterministic one, and whoever wrote the probes that are given.

Either way the probes are checked, placed and split into a naming and a held-out set before one of them is read, and the
result looks the same. The makers do not stand in for each other: probes that are given are all that is run.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from ._base import ToolArgs, ToolError, ToolResult
from ._dictionary import Dictionary
from ._probe_contexts import context_words, looked_at
from ._probe_given import Refused, accept
from ._probe_signatures import Feature
from ._probe_split import n_shared, split, split_digest, worded
from ._probe_texts import Concept, Probe, ProbeMaker
from ._probe_tokens import FunctionWords, function_words, words_in
from ._subject import Subject

MOST_GIVEN = 500


class ProbeRequest(ToolArgs):
    """What probes are wanted for a prompt."""

    prompt: str = Field(description="Prompt whose features are to be understood.")
    target: str = Field(description="The next word that it is about.")
    probes: tuple[Probe, ...] = Field(
        (),
        max_length=MOST_GIVEN,
        description="Probes written by someone else, each a text and the concept in it (and a category, and whether it "
        "is held out); none to have them made from task data, the model's texts and its continuations.",
    )
    per_concept: int = Field(9, ge=1, le=100, description="Probes to make for each concept at most (count).")
    swaps: int = Field(3, ge=0, le=100, description="Other entities of the task to add as concepts (count).")
    contexts: int = Field(
        4,
        ge=0,
        le=100,
        description="Words at which features peak in the model's texts, to add as concepts (count).",
    )
    continuation_tokens: int = Field(8, ge=1, le=64, description="Tokens of a continuation at most (count).")
    held_out: float = Field(
        0.3, ge=0, le=0.5, description="Part of each concept's probes that is kept back to test the names (share)."
    )
    split_as: str = Field(
        "", description="Prompt of the question that is asked: what it keeps back is kept back here. Empty: this one."
    )
    language: str = Field("en", description="Whose function words are grammar: en, de, es, fr, zh, or a JSON file.")
    seed: int = Field(0, ge=0, description="Seed of the choice of rows and texts, of continuations and of the split.")


class MadeProbes(ToolResult):
    """Probes, and which of them may name."""

    concepts: tuple[Concept, ...] = Field(description="What probes were sought for.")
    probes: tuple[Probe, ...] = Field(description="Texts by concept, each for naming or held out.")
    maker: Literal["given", "deterministic"] = Field(description="Who made them.")
    family: str = Field(description="Task family that the prompt belongs to; empty for none.")
    concepts_without_probes: tuple[str, ...] = Field(description="Concepts for which no text was found.")
    n_refused: int = Field(description="Texts left out because the model cannot read them (count).")
    refused: tuple[Refused, ...] = Field(description="Those of the given probes, with the reason.")
    n_duplicates: int = Field(description="Given probes left out because an earlier one is the same text (count).")
    n_shared_wordings: int = Field(
        description="Held-out probes whose template, or wording around the concept, a naming probe has too (count)."
    )
    split_digest: str = Field(description="SHA-256 of which text is for what, taken before any of them was read.")


def check_request(subject: Subject, request: ProbeRequest) -> FunctionWords:
    """Refuse early what could not be probed; the words that count as grammar.

    Raises:
        ToolError: an empty target, a prompt or target that the model cannot read, no such language, or malformed
            probes.
    """
    target = request.target.strip()
    if not target:
        raise ToolError("The target is empty.", mend="Pass the next word after the prompt.")
    subject.tokenise([request.prompt, f"{request.prompt} {target}"])
    if subject.reader.special_ids.issuperset(subject.reader.encode(request.prompt)):
        raise ToolError("The prompt has special tokens alone.", mend="Pass a prompt of words.")
    if request.probes:
        accept(subject, request.probes)
    return function_words(request.language)


def make(
    subject: Subject, request: ProbeRequest, dictionary: Dictionary | None = None, features: Sequence[Feature] = ()
) -> MadeProbes:
    """The probes that are asked for, split.

    Args:
        dictionary: Whose features they are; needed with features.
        features: Features in whose contexts concepts are looked for.

    Raises:
        ToolError: as `check_request`, or no probe at all.
    """
    grammar = check_request(subject, request)
    maker = ProbeMaker(
        subject,
        request.prompt,
        request.target.strip(),
        request.seed,
        grammar,
        request.per_concept,
        request.continuation_tokens,
        request.split_as,
    )
    _refuse_kept(maker)
    found = _given(subject, request) if request.probes else _made(maker, request, dictionary, features)
    served = {probe.concept for probe in found["probes"]}
    return MadeProbes.model_validate(
        {
            **found,
            **_split(subject, request, found["probes"]),
            "family": maker.task[0].name if maker.task else "",
            "concepts_without_probes": [one.label for one in found["concepts"] if one.label not in served],
        }
    )


def _refuse_kept(maker: ProbeMaker) -> None:
    """A prompt about what the question keeps back would tell of it."""
    shown = set(words_in(maker.prompt)) & maker.kept_back if maker.split_as else set()
    if shown:
        raise ToolError(
            f"The prompt has {', '.join(sorted(shown))}, which {maker.split_as[:60]!r} keeps back to confirm on.",
            mend="Probe a prompt of another entity, or leave `split_as` empty.",
        )


def _given(subject: Subject, request: ProbeRequest) -> dict[str, Any]:
    accepted = accept(subject, request.probes)
    if not accepted.probes:
        why = accepted.refused[0].why
        raise ToolError(
            f"The model can read none of the {len(request.probes)} probes that were given. {why}",
            mend="Write them with words that it knows, or pass none to have them made.",
        )
    labels = dict.fromkeys(probe.concept for probe in request.probes)
    return {
        "concepts": tuple(Concept(label=label, role="given") for label in labels),
        "probes": accepted.probes,
        "maker": "given",
        "n_refused": len(accepted.refused),
        "refused": accepted.refused,
        "n_duplicates": accepted.n_duplicates,
    }


def _made(
    maker: ProbeMaker, request: ProbeRequest, dictionary: Dictionary | None, features: Sequence[Feature]
) -> dict[str, Any]:
    labels: tuple[str, ...] = ()
    if request.contexts and dictionary is not None and features:
        texts = looked_at(maker)
        known = [one.label for one in maker.concepts(request.swaps)]
        labels = context_words(maker.subject, dictionary, features, texts, maker.grammar, known)[: request.contexts]
        maker.seen = frozenset(texts)
    concepts = maker.concepts(request.swaps, labels)
    probes = maker.probes(concepts)
    if not probes:
        raise ToolError("No probe prompt could be made.", mend="Raise `continuation_tokens` or pass another prompt.")
    return {
        "concepts": concepts,
        "probes": probes,
        "maker": "deterministic",
        "n_refused": len(maker.refused),
        "refused": (),
        "n_duplicates": 0,
    }


def _split(subject: Subject, request: ProbeRequest, probes: Sequence[Probe]) -> dict[str, Any]:
    """The probes with their side of the split, and the split's figures."""
    known = worded(probes, subject.tasks)
    # The prompt itself was looked at: its features are the ones in question.
    seen = [probe.text for probe in probes if probe.text.startswith(request.prompt)]
    drawn = split(known, request.held_out, request.seed, seen)
    held = [mark if probe.held_out is None else probe.held_out for probe, mark in zip(probes, drawn, strict=True)]
    if all(held):
        raise ToolError("Every probe that can be read is held out.", mend="Leave at least one to name features by.")
    return {
        "probes": [probe.model_copy(update={"held_out": mark}) for probe, mark in zip(probes, held, strict=True)],
        "n_shared_wordings": n_shared(known, held),
        "split_digest": split_digest(known, held),
    }
