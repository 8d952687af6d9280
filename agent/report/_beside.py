"""A question that one language model investigated twice, with the names of places hidden from it and with them shown:
what a report holds of the other run."""

from typing import Annotated

from pydantic import Field

from ...tools import Frozen
from .._evidence import Kind, Tier, Verdict
from ._sentence import Sentence

ClaimId = Annotated[str, Field(pattern=r"^c[0-9]{1,6}$")]
Place = tuple[Kind, str, str, tuple[str, ...]]


class Brief(Frozen):
    """A claim in short."""

    id: ClaimId = Field(description="Names the claim in the report of its own run.")
    kind: Kind = Field(description="What is claimed of the place.")
    site: str = Field(description="Where, under its true name; or which group of features.")
    position: str = Field(description="At which token; empty where the claim is about no token.")
    without: tuple[str, ...] = Field(description="Parts that were taken out meanwhile, in the order of their names.")
    verdict: Verdict = Field(description="What the evidence says.")
    tier: Tier = Field(description="How strong it is, as words may tell it.")
    effect: float = Field(description="Mean effect (share of the gap).")
    low: float | None = Field(description="Lower end of its 95 % interval; none with a single cluster.")
    high: float | None = Field(description="Upper end of its 95 % interval; none with a single cluster.")

    @property
    def place(self) -> Place:
        """By what two claims are about the same."""
        return self.kind, self.site, self.position, self.without


class Half(Frozen):
    """What one of two runs came to."""

    premise_holds: bool | None = Field(description="Whether the model does what the question says.")
    planned: bool = Field(description="Whether a language model was asked to plan.")
    by_protocol: bool = Field(description="Whether the deterministic planner had to finish.")
    stopped: str = Field(description="Which budget, or who, ended the exploration; empty where nothing did.")
    claims: tuple[Brief, ...] = Field(description="All its claims.")
    ledger_digest: str = Field(description="Last hash of its ledger.")


class Pair(Frozen):
    """One place that was claimed, with the claim that each run makes about it."""

    hidden: ClaimId | None = Field(description="In the run with names hidden; none where it claims nothing there.")
    shown: ClaimId | None = Field(description="In the run of this report; none where it claims nothing there.")


class Beside(Frozen):
    """The run with names hidden, set beside the run of this report."""

    run: str = Field(description="Name of that run: `vesalius verify` measures its figures again.")
    hidden: Half = Field(description="What it came to.")
    pairs: tuple[Pair, ...] = Field(description="Every place that either run claims something about, once.")
    sentences: tuple[Sentence, ...] = Field(description="Whether hiding names changed what was found, by code.")
