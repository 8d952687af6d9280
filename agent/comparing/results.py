"""What comes of comparing two models, A (with earlier claims) and B: values only, and the words that stand for them."""

from typing import Literal, NamedTuple

from pydantic import Field

from ...tools import Frozen, SubjectKey
from .._evidence import Judgement, Prediction, Verdict
from .._statistics import Interval

Label = Literal[
    "held", "weakened", "moved", "broke", "not testable", "undecided", "unchanged", "newly supported", "newly refuted"
]
Cause = Literal["", "behaviour", "mechanism"]

FLAGGED: tuple[Label, ...] = ("weakened", "moved", "broke")
MEANING: dict[Label, str] = {
    "held": "Supported on B too, and whatever its effect lost is surely less than what matters.",
    "weakened": "The effect is less on B than on A, by more than what matters and beyond chance, and not surely gone; "
    "or B answers surely fewer of the claim's prompts right (the behaviour is rarer).",
    "moved": "Most of its effect is lost at its place, and the same test is supported at another layer or head, which "
    "makes up for most of what was lost.",
    "broke": "B does not do it: the test is refuted at its place, beyond chance less than on A, and supported at no "
    "other that was tried; or B answers few of the claim's prompts any more (the behaviour is gone).",
    "not testable": "It cannot be asked of B: a word, a site, or a dictionary is not there.",
    "undecided": "The evidence decides neither: it is not supported on B, and not surely less than on A; or it is "
    "supported, and may be less by more than what matters.",
    "unchanged": "Not supported on A, and the same verdict on B.",
    "newly supported": "Not supported on A, and supported on B.",
    "newly refuted": "Undecided on A, and refuted on B.",
}


class EarlierClaim(Frozen):
    """A claim of A, as its report has it."""

    run: str = Field(description="Run that made it.")
    id: str = Field(description="Its id there.")
    statement: str = Field(description="The hypothesis.")
    verdict: Verdict = Field(description="On A.")
    effect: float = Field(description="On A (share of the gap).")
    low: float | None = Field(description="Lower end of its interval.")
    high: float | None = Field(description="Upper end of its interval.")
    place: str = Field(description="Where: sites or features, and positions.")


class Elsewhere(Frozen):
    """Another place at which a claim was tested on B."""

    place: str = Field(description="Site.")
    claim: str = Field(description="Its id in the report of B.")
    seen: float = Field(description="Effect on exploration's prompts (share of the gap).")
    made_up: float = Field(
        description="Share of what was lost that it makes up for on the held-out prompts: of a part, by its gain over "
        "what A's exploration saw there; of the stream, by its effect."
    )
    judgement: Judgement = Field(description="The verdict on the held-out prompts.")


class ClaimAgain(Frozen):
    """A claim of A, and what came of it on B."""

    earlier: EarlierClaim = Field(description="As A's report has it.")
    label: Label = Field(description="What became of it.")
    cause: Cause = Field(default="", description="Why it broke: the behaviour is gone, or its mechanism is.")
    reason: str = Field(description="In plain words, with the figures.")
    prediction: Prediction | None = Field(description="As sealed for B; none where it could not be.")
    claim: str = Field(default="", description="Its id in the report of B; empty where it was not judged.")
    judgement: Judgement | None = Field(default=None, description="The verdict on B; none where none of its arms ran.")
    less: Interval | None = Field(
        default=None, description="Effect on A less effect on B, pair by pair (share of the gap); none without both."
    )
    q: float | None = Field(
        default=None, description="Benjamini-Hochberg q, over all claims compared, that the effect on B is not less."
    )
    gap_a: float | None = Field(default=None, description="The gap on A that its effect is a share of (nats).")
    gap_b: float | None = Field(default=None, description="The gap on B (nats).")
    right: tuple[int, int, int] = Field(
        default=(0, 0, 0), description="Pairs of prompts that both were asked; answered right by A, and by B (counts)."
    )
    left_out: int = Field(default=0, description="Pairs of prompts that B cannot read, so left out (count).")
    looked_at: int = Field(default=0, description="Other places that were searched on exploration's prompts (count).")
    elsewhere: tuple[Elsewhere, ...] = Field(default=(), description="Other places that were tested.")


class Lost(Frozen):
    """A prompt whose answer is another now."""

    prompt: str = Field(description="Prompt.")
    answer: str = Field(description="Expected answer, which A gives.")
    before: float = Field(description="Its probability on A.")
    after: float = Field(description="Its probability on B.")
    now: str = Field(description="What B answers.")


class BehaviourAgain(Frozen):
    """Prompts that A was asked, asked of B."""

    run: str = Field(description="Run that asked them.")
    question: str = Field(description="Its question.")
    why: str = Field(description="What they were asked for.")
    is_premise: bool = Field(description="Whether they are what the question takes for granted.")
    measurement_a: str = Field(description="Id of the measurement on A.")
    measurement_b: str = Field(description="Id of the measurement on B; empty where B cannot be asked.")
    problem: str = Field(default="", description="Why B cannot be asked them; empty where it can.")
    n: int = Field(description="Prompts (count).")
    right_a: int = Field(description="Answered as expected by A (count).")
    right_b: int = Field(default=0, description="Answered as expected by B (count).")
    probability_a: float = Field(description="Mean probability of the expected answers on A.")
    probability_b: float = Field(default=0.0, description="The same on B.")
    lost: tuple[Lost, ...] = Field(default=(), description="Answered as expected by A and not by B.")
    n_gained: int = Field(default=0, description="Answered as expected by B and not by A (count).")
    gone: bool = Field(default=False, description="A premise that holds on A and not on B.")
    p: float = Field(
        default=1.0,
        description="Were losing and gaining an answer as likely, so many lost among those that changed would come up "
        "this often (McNemar's exact test, one-sided; prompts taken as independent).",
    )
    fell: bool = Field(
        default=False,
        description="B answers fewer right, by more than a tenth of the prompts, with a q of at most 0.05 among all "
        "sets of prompts of the comparison.",
    )


class LinkAgain(Frozen):
    """A link of a circuit, in either model."""

    source: str = Field(description="Node that writes.")
    slot: str = Field(description="Slot that reads it.")
    a: float | None = Field(description="Effect on A (share of the gap); none where it is not in A's circuit.")
    b: float | None = Field(description="The same on B.")
    hidden: bool = Field(description="Shows only with nodes taken out, in either.")


class CircuitAgain(Frozen):
    """A circuit of A, searched again on B with the same pairs of prompts."""

    run: str = Field(description="Run that searched it.")
    measurement_a: str = Field(description="Id of the search on A.")
    measurement_b: str = Field(description="Id of the search on B; empty where it could not run.")
    problem: str = Field(default="", description="Why it could not run on B.")
    links: tuple[LinkAgain, ...] = Field(default=(), description="Links of either circuit, the strongest first.")
    faithfulness_a: tuple[float, ...] = Field(default=(), description="Of A's circuit alone, by family.")
    faithfulness_b: tuple[float, ...] = Field(default=(), description="Of B's circuit alone, by family.")

    def of(self, side: Literal["both", "a", "b"]) -> tuple[LinkAgain, ...]:
        """Links in both circuits, or in one of them alone."""
        sides = {"both": (True, True), "a": (True, False), "b": (False, True)}
        return tuple(one for one in self.links if (one.a is not None, one.b is not None) == sides[side])


class GroupChange(Frozen):
    """How a group of weights differs."""

    group: str = Field(description="Which: embedding, queries of block 0, …")
    entries: int = Field(description="Numbers in it (count).")
    changed: float = Field(description="Entries that are not equal to the last bit (share).")
    relative: float = Field(description="Frobenius norm of the difference over that of A's.")
    cosine: float | None = Field(description="Cosine of A's and B's entries; none where either is zero.")
    stable_rank: float | None = Field(
        description="Of the difference's matrix: squared Frobenius norm over squared largest singular value (count)."
    )
    rank_99: int | None = Field(description="Fewest singular values of it that hold 99 % of its energy (count).")
    top_1: float | None = Field(description="Share of its energy in the largest singular value.")
    top_8: float | None = Field(description="Share of its energy in the eight largest.")


class TokenChange(Frozen):
    """A token whose embedding differs."""

    token: str = Field(description="As text.")
    id: int = Field(description="Its id.")
    relative: float = Field(description="Norm of the difference over that of A's row.")


class WeightsCompared(Frozen):
    """How the weights of two models differ."""

    problem: str = Field(default="", description="Why they could not be compared; empty where they could.")
    same_architecture: bool = Field(default=False, description="Same family and sizes.")
    same_vocabulary: bool = Field(default=False, description="Same tokens under the same ids.")
    identical: bool = Field(default=False, description="Every weight equal to the last bit.")
    sizes: tuple[str, ...] = Field(default=(), description="Sizes that differ, in words.")
    settings: tuple[str, ...] = Field(default=(), description="What the configurations say otherwise, in words.")
    groups: tuple[GroupChange, ...] = Field(default=(), description="Groups that differ, the most changed first.")
    unchanged: tuple[str, ...] = Field(default=(), description="Groups that are equal to the last bit.")
    tokens: tuple[TokenChange, ...] = Field(default=(), description="Tokens whose embeddings differ most.")
    n_tokens: int = Field(default=0, description="Tokens whose embeddings differ at all (count).")
    told: str = Field(default="", description="The same in a sentence.")


class BesideRow(Frozen):
    """A claim of either run, where B is a run too."""

    place: str = Field(description="What it is about.")
    a: str = Field(description="Verdict and effect in A's run; empty where A does not claim it.")
    b: str = Field(description="The same in B's own run.")
    words: tuple[str, ...] = Field(description="What differs, in words.")


class Retested(Frozen):
    """Claims of earlier reports, tested again on a model."""

    subject: SubjectKey = Field(description="The model that they were tested on.")
    claims: tuple[ClaimAgain, ...] = Field(description="Every claim, in the order given.")
    behaviours: tuple[BehaviourAgain, ...] = Field(default=(), description="Prompts that were asked again.")
    circuits: tuple[CircuitAgain, ...] = Field(default=(), description="Circuits that were searched again.")
    n_tests: int = Field(description="Tests that count toward the false discovery rate (count).")
    report: str = Field(description="Name of the report of B's measurements.")

    @property
    def flagged(self) -> bool:
        """Whether something weakened, moved or broke, or answers are surely fewer."""
        return any(one.label in FLAGGED for one in self.claims) or any(one.gone or one.fell for one in self.behaviours)


class Compared(Frozen):
    """The whole of a comparison."""

    schema_version: Literal["1"] = Field(default="1", description="Version of this format.")
    name: str = Field(description="Names the comparison; also its folder.")
    a: SubjectKey = Field(description="The model that the claims are about.")
    b: SubjectKey = Field(description="The model that they were tested on.")
    runs: tuple[str, ...] = Field(description="Runs of A whose claims were tested.")
    passed_over: tuple[str, ...] = Field(default=(), description="Runs of A that were left out, with the reason.")
    retested: Retested = Field(description="Claims, behaviours and circuits.")
    weights: WeightsCompared = Field(description="What changed in the weights.")
    beside: tuple[BesideRow, ...] = Field(default=(), description="B's own claims beside A's, where B is a run.")
    correction: str = Field(description="What the tests are corrected for.")
    environment: dict[str, str] = Field(description="Versions of what ran, by name.")


class Count(NamedTuple):
    """How many claims have a label."""

    label: Label
    n: int


def counts(retested: Retested) -> tuple[Count, ...]:
    """Labels that some claim has, in the order of their meaning."""
    found = [one.label for one in retested.claims]
    return tuple(Count(label, found.count(label)) for label in MEANING if label in found)
