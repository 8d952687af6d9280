"""What a planner is: it reads a question, proposes experiments and predictions, and words the answer.

It never measures and never judges. A planner sees a `View` and returns values; the investigation runs them, adds the
controls (`sealing.py`), seals them and judges them. A planner that is wrong, or lies, can waste time and word a claim
badly, but it chooses neither what could contradict the claim nor the verdict.
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field, model_validator

from ...tools import Frozen, Measurement, SubjectKey, TaskFamily, ToolError
from .._attempts import Attempt
from .._evidence import Hypothesis, Judgement, Prediction
from ..report.schema import Sentence
from .llm_turns import Consultation, Planning, Turn
from .llm_written import WrittenProbes

TaskKind = Literal["why", "where", "feature", "depends", "changes", "trigger", "steering"]
Phase = Literal["explore", "confirm", "control", "black_box"]


class CannotRead(ToolError):
    """A question of no known form; the mend lists the forms."""


class ContrastPair(Frozen):
    """A prompt, a counterfactual that changes the answer, and both answers."""

    clean: str = Field(description="Prompt.")
    corrupted: str = Field(description="Counterfactual.")
    answer: str = Field(description="Next word after the prompt.")
    foil: str = Field(description="Next word after the counterfactual.")
    cluster: str = Field(default="", description="Pairs with equal names are not independent of each other.")

    @model_validator(mode="after")
    def _contrasts(self) -> "ContrastPair":
        for one, other in (("clean", "corrupted"), ("answer", "foil")):
            if getattr(self, one).strip() == getattr(self, other).strip():
                raise ValueError(f"`{one}` and `{other}` are the same: {getattr(self, one)!r}")
        return self


class Task(Frozen):
    """A question as the investigation understands it."""

    kind: TaskKind = Field(description="Form of the question.")
    question: str = Field(description="As the user put it.")
    prompt: str = Field(default="", description="Kind why: the prompt.")
    answer: str = Field(default="", description="Kind why, steering: the answer asked about.")
    behaviour: str = Field(
        default="", description="Kind where, depends, changes: what the pairs contrast, in the user's words."
    )
    pairs: tuple[ContrastPair, ...] = Field(
        default=(), description="Of every kind that takes pairs: the contrast pairs."
    )
    feature: str = Field(default="", description="Kind feature: LAYER/FEATURE.")


class SubjectCard(Frozen):
    """What a planner may know of the subject: sizes, task data and dictionaries, never weights."""

    key: SubjectKey = Field(description="Which weights.")
    n_layers: int = Field(description="Blocks (count).")
    n_heads: int = Field(description="Heads per block (count).")
    n_vocab: int = Field(description="Tokens of the vocabulary (count).")
    parallel: bool = Field(description="Whether attention and MLP of a block run in parallel.")
    dictionary: str | None = Field(description="Name of the trained dictionary; none where there is none.")
    dictionary_digest: str | None = Field(default=None, description="SHA-256 of that dictionary.")
    tasks: tuple[TaskFamily, ...] = Field(description="Prompt families with known answers.")
    n_texts: int = Field(description="Neutral sentences that came with the model (count).")
    words: tuple[str, ...] = Field(
        default=(), description="All that it can read, where that is a short list of words; empty where it reads more."
    )


class Recalled(Frozen):
    """A finding of an earlier run on these weights."""

    kind: str = Field(description="Collection it lies in.")
    record: str = Field(description="Its id in the memory.")
    run: str = Field(description="Run that wrote it.")
    text: str = Field(description="What it says.")
    similarity: float = Field(description="Cosine similarity to the question.")
    feature: str = Field(default="", description="LAYER/FEATURE where it is a feature card of this dictionary.")


class Experiment(Frozen):
    """One measurement that a planner wants."""

    key: str = Field(description="The planner's own name for it; unique in an investigation.")
    tool: str = Field(description="Instrument.")
    args: dict[str, Any] = Field(description="Its arguments.")
    why: str = Field(description="What it is for, in plain words.")
    phase: Phase = Field(default="explore", description="Role in the evidence protocol.")
    twin_seed: int | None = Field(default=None, description="Measure the re-initialised twin of this seed instead.")
    prediction: str = Field(default="", description="The sealed prediction that it tests; empty outside confirmation.")


class Inquiry(Frozen):
    """Probes that a planner wants of a language model: asked for once, kept in the ledger, from then on plain data."""

    key: str = Field(description="Key of the experiment that they are for.")
    prompt: str = Field(description="Prompt whose features are to be understood.")
    target: str = Field(description="The next word that it is about.")
    contexts: tuple[str, ...] = Field(default=(), description="Words at which its features peak.")
    words: tuple[str, ...] = Field(default=(), description="Words to keep to; none where the subject reads any text.")


class View(Frozen):
    """All that a planner sees."""

    task: Task
    card: SubjectCard
    results: Mapping[str, Measurement] = Field(description="Measurements so far, by the key of their experiment.")
    recalled: tuple[Recalled, ...] = Field(default=(), description="Earlier findings about these weights.")
    failed: Mapping[str, str] = Field(
        default_factory=dict, description="Experiments that could not run, with the reason."
    )
    written: Mapping[str, WrittenProbes] = Field(
        default_factory=dict, description="What a language model wrote, by the key of the inquiry."
    )
    turns: tuple[Turn, ...] = Field(default=(), description="What a language model said, in order.")
    stopped: str = Field(default="", description="Why no more may be asked or explored; empty while it may.")


class Proposal(Frozen):
    """A hypothesis with the prediction that tests it, ready to be sealed."""

    hypothesis: Hypothesis
    prediction: Prediction


class JudgedClaim(Frozen):
    """A proposal after the judge."""

    id: str
    proposal: Proposal
    judgement: Judgement
    attempts: tuple[Attempt, ...] = ()


class Words(Frozen):
    """The answer and what belongs beside it; every figure is a reference."""

    premise_holds: bool | None = Field(
        description="Whether the model does what the question says; none where it says nothing."
    )
    premise: Sentence = Field(description="The premise and how it fared.")
    answer: tuple[Sentence, ...] = Field(description="A few sentences.")
    claims: Mapping[str, Sentence] = Field(description="One sentence per claim id.")
    black_box: tuple[Sentence, ...] = Field(default=(), description="What prompting alone would have told.")
    not_found: tuple[Sentence, ...] = Field(
        default=(), description="What was looked for and not found, or not looked for."
    )
    planning: Planning | None = Field(default=None, description="How a language model planned; none where none did.")


@runtime_checkable
class Planner(Protocol):
    """Chooses experiments. The deterministic one is `protocol.ProtocolPlanner`."""

    name: str

    def read(self, question: str, pairs: tuple[ContrastPair, ...], card: SubjectCard) -> Task:
        """Understand a question; raises `CannotRead` rather than guess."""
        ...

    def next_experiment(self, view: View) -> Experiment | Inquiry | Consultation | None:
        """The next exploratory experiment, or what a language model is to be asked first; none when it is time to
        seal."""
        ...

    def propose(self, view: View) -> tuple[Proposal, ...]:
        """Hypotheses with predictions; none where the premise fails."""
        ...

    def closing(self, view: View) -> tuple[Experiment, ...]:
        """What is measured after confirmation, on its prompts: the black-box arm."""
        ...

    def word(self, view: View, claims: tuple[JudgedClaim, ...]) -> Words:
        """The answer in words; figures as references to measurements or claims."""
        ...
