"""The arms of a steering card: one setting with one thing changed at a time, and what happens to other prompts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, ToolError
from ._sites import Site
from ._steering import Passages, Positions, Pushes
from ._steering_aims import Aim, Aims, pushes_of
from ._steering_bench import NeutralTexts, Questions
from ._steering_directions import Directions
from ._steering_neighbours import Neighbour
from ._subject import Subject


class OffTarget(Frozen):
    """A prompt that steering should leave alone."""

    prompt: str = Field(description="Prompt about something else.")
    answer: str = Field(description="Its next word.")
    entity: str = Field("", description="Its word at `entity`; all its tokens are written where one prompt has none.")


class Arm(Frozen):
    """One way to move the answer, all else being as asked."""

    name: str = Field(description="Context, site, multiple or text.")
    effect: float = Field(description="Mean over prompts of changed minus clean logit difference (nats).")
    answered: float = Field(description="Prompts whose most likely token is then the answer (share).")


class NeighbourArm(Frozen):
    """A neighbouring feature pushed as far as the direction."""

    feature: str = Field(description="LAYER/FEATURE.")
    cosine: float = Field(description="Between what it writes and the direction.")
    effect: float = Field(description="Mean effect on the first context (nats).")


class Harm(Frozen):
    """What happens to prompts about something else."""

    lost: float = Field(description="Prompts answered right before and no longer (share of those right before).")
    kl: float = Field(description="KL divergence of the next token, clean from changed, mean (nats).")


@dataclass(frozen=True)
class Setting:
    """One direction, site and strength, and the prompts that effects are measured on."""

    directions: Directions
    site: Site
    strength: float
    questions: Questions
    neutral: NeutralTexts

    @cached_property
    def aims(self) -> Aims:
        """The direction at the site."""
        return self._aims_at(self.site)

    @property
    def aim(self) -> Aim:
        """The same, without the site's name."""
        return self.aims[str(self.site)]

    @property
    def mean_row(self) -> Float[Tensor, " d_model"]:
        """The direction, a delta's rows in the mean; length 1."""
        rows = self.aim.rows
        mean = rows if rows.ndim == 1 else rows.mean(0)
        return mean / mean.norm()

    def pushes(self, multiple: float = 1.0, at: Site | None = None) -> Pushes:
        """The push, that many times as strong, or at another site with the direction found there."""
        aims = self.aims if at is None else self._aims_at(at)
        return pushes_of(aims, "add", multiple * self.strength)

    def along(self, other: Float[Tensor, "*any d_model"]) -> Pushes:
        """As far along something else."""
        return pushes_of(self.aims, "add", self.strength, {str(self.site): other})

    def arm(self, name: str, pushes: Pushes, questions: Questions | None = None) -> Arm:
        """What pushes do to these questions, or to those of the setting."""
        asked = questions or self.questions
        after, answered = asked.answered(pushes)
        return Arm(name=name, effect=(after - asked.clean).mean().item(), answered=sum(answered) / len(answered))

    def neighbour(self, near: Neighbour) -> NeighbourArm:
        """What a neighbouring feature does."""
        lengths = self.aim.rows.norm(dim=-1, keepdim=True)
        effect = self.questions.effect(self.along(near.writes * lengths))
        return NeighbourArm(feature=near.name, cosine=near.cosine, effect=effect)

    def prompted(self, name: str, with_text: Questions) -> Arm:
        """What a text in front does, nothing being pushed."""
        moved = (with_text.clean - self.questions.clean).mean().item()
        answered = with_text.clean_answered
        return Arm(name=name, effect=moved, answered=sum(answered) / len(answered))

    def _aims_at(self, site: Site) -> Aims:
        return {str(site): self.directions.aim(str(site), self.neutral.passages.mean_length(str(site)))}


class Bystanders:
    """Prompts about something else, written at the same tokens as others, or at all where they name no entity."""

    def __init__(
        self, subject: Subject, prompts: Sequence[OffTarget], at: Positions, n_last: int | None = None
    ) -> None:
        """
        Args:
            n_last: Tokens that are written at most, as of the prompts that are steered; none for all of them.

        Raises:
            ToolError: an answer that is no single token, none that the model gives, or fewer tokens than `n_last`.
        """
        self._subject, self._prompts = subject, prompts
        self._entities = [one.entity for one in prompts]
        everywhere = at == "entity" and not all(self._entities)
        self._at: Positions = "all" if everywhere else at
        self._n_last = None if everywhere else n_last
        self._clean, self._right = self._outcome("", None)
        if not self._right.any():
            raise ToolError(
                "The model answers no off-target prompt.", mend="Give `off_target` prompts that it answers."
            )

    @property
    def n_right(self) -> int:
        """Prompts answered right with nothing changed (count)."""
        return int(self._right.sum())

    def harm(self, pushes: Pushes | None = None, text: str = "") -> Harm:
        """What pushes do to them, or a text in front."""
        logits, right = self._outcome(text, pushes)
        clean, changed = self._clean.log_softmax(-1), logits.log_softmax(-1)
        kl = (clean.exp() * (clean - changed)).sum(-1).mean().item()
        lost = int((self._right & ~right).sum())
        return Harm(lost=lost / self.n_right, kl=kl)

    def _outcome(self, text: str, pushes: Pushes | None) -> tuple[Float[Tensor, "batch vocab"], Bool[Tensor, " batch"]]:
        prompts = [in_front(text, one.prompt) for one in self._prompts]
        pairs = zip(prompts, self._prompts, strict=True)
        answers = torch.tensor([self._subject.answer_token(prompt, one.answer) for prompt, one in pairs])
        logits = Passages(self._subject, prompts, self._at, self._entities, self._n_last).last_logits(pushes)
        return logits, logits.argmax(-1) == answers


def in_front(text: str, prompt: str) -> str:
    """A prompt with a text before it."""
    return f"{text} {prompt}" if text else prompt


def other_layers(subject: Subject, site: Site, asked: Sequence[int]) -> list[Site]:
    """The same kind of site at the layers asked for, or at those next to its own.

    Raises:
        ToolError: a site that has no layer, or no such layer.
    """
    if site.layer is None:
        raise ToolError(f"`{site}` is no site of a layer.", mend="Use resid_pre.0, which is what follows it.")
    last = subject.shape.n_layers - 1
    near = [layer for layer in (site.layer - 1, site.layer + 1) if 0 <= layer <= last]
    for layer in asked:
        if not 0 <= layer <= last:
            raise ToolError(f"Layer {layer} is out of range.", mend=f"Layers: 0..{last}.")
    return [replace(site, layer=layer) for layer in dict.fromkeys(asked or near) if layer != site.layer]
