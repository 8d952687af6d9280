"""Push a model along a direction while it runs, and see what that does to one answer and to ordinary text.

Turner et al. 2023 (activation addition); Rimsky et al. 2024 (difference of means over contrasting prompts); clamped
features after Templeton et al. 2024; ablated directions after Arditi et al. 2024. With u the direction at length 1,
p = x·u the projection of a token's value x at the site, N the mean length of values there and s the strength:

| mode | a token's value becomes | s = 0 | s = 1 |
| --- | --- | --- | --- |
| `add` | x + s N u | x | pushed by as much as values are long |
| `clamp` | x + (s N - p) u: the projection is set to s N | the projection is removed | set to N |
| `ablate` | x - s p u: the share s of the projection is removed | x | the projection is removed |

N is taken over all tokens of the neutral texts, so that a strength means the same whatever prompts are steered. Special
tokens (a beginning-of-text token above all) are read and written only where `last` or `entity` point at them: their
values are many times longer than others and a push there breaks the model rather than steering it.

Controls. Nothing is pushed: strength 0, or for `clamp` every projection set to what it is, must keep every logit to the
bit. Random directions: each token is moved exactly as far as the intervention moves it, along a random unit vector.
Cost: perplexity of neutral texts under the same push at all of their tokens, whatever `positions` says (they have no
entity, and nothing follows their last token), over perplexity without it. What prompting alone could do is not
measured here.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._dictionary import Dictionary
from ._dictionary_file import dictionary_of
from ._sites import Site, refuse_read_only
from ._steering import Coefficient, Passages, Positions, Push
from ._subject import Subject

Mode = Literal["add", "clamp", "ablate"]
LARGEST_EXPONENT = 700  # a perplexity beyond it is no number
Finite = Annotated[float, Field(allow_inf_nan=False)]


class SteerArgs(ToolArgs):
    site: str = Field(description="Where to write.")
    prompts: tuple[str, ...] = Field(description="Prompts to steer.", min_length=1)
    answer: str = Field(description="Next word whose logit counts up.")
    foil: str = Field(description="Next word whose logit counts down.")
    positive: tuple[str, ...] = Field((), description="Direction as a difference of means: prompts that have it.")
    negative: tuple[str, ...] = Field((), description="Prompts that lack it.")
    feature: str = Field(
        "", description="Direction as a feature's write vector: LAYER/FEATURE.", pattern=r"^(\d+/\d+)?$"
    )
    dictionary: str = Field(
        "transcoders",
        description="Dictionary of the feature: `transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH.",
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    vector: tuple[Finite, ...] = Field((), description="Direction as numbers, one per dimension of the site.")
    mode: Mode = Field("add", description="Add the direction, clamp the projection on it, or ablate that projection.")
    strengths: tuple[Finite, ...] = Field(
        (0.5, 1.0, 2.0),
        min_length=1,
        description="Strengths to try (mean length of values at the site; for ablate the share removed).",
    )
    positions: Positions = Field("all", description="Tokens to write: all but special ones, the last, or the entity's.")
    read_at: Literal["same", "all", "last", "entity"] = Field(
        "same", description="Tokens of positive and negative prompts that are averaged; `same` as `positions`."
    )
    entities: tuple[str, ...] = Field((), description="Word of each prompt at `entity`.")
    positive_entities: tuple[str, ...] = Field((), description="Word of each positive prompt at `entity`.")
    negative_entities: tuple[str, ...] = Field((), description="Word of each negative prompt at `entity`.")
    neutral_texts: tuple[str, ...] = Field((), description="Texts for the perplexity; none for the model's own.")
    n_neutral: int = Field(32, ge=1, le=10_000, description="Neutral texts to use at most, from the first (count).")
    random_draws: int = Field(20, ge=20, le=1000, description="Control: random directions of equal length (count).")
    seed: int = Field(0, ge=0, description="Seed of the random directions.")

    @model_validator(mode="after")
    def _can_be_carried_out(self) -> "SteerArgs":
        if bool(self.positive) != bool(self.negative):
            raise ValueError("a difference of means needs both positive and negative prompts")
        if (bool(self.positive) + bool(self.feature) + bool(self.vector)) != 1:
            raise ValueError("give exactly one direction: positive and negative prompts, or `feature`, or `vector`")
        due = {"entities": (self.prompts, self.positions)}
        if self.positive:
            at = self.positions if self.read_at == "same" else self.read_at
            due |= {"positive_entities": (self.positive, at), "negative_entities": (self.negative, at)}
        for name, (prompts, at) in due.items():
            given = getattr(self, name)
            if at == "entity" and len(given) != len(prompts):
                raise ValueError(f"{len(given)} {name} for {len(prompts)} prompts; position `entity` needs one each")
        return self


class SteerPoint(Frozen):
    """One strength."""

    strength: float = Field(description="As asked.")
    effect: float = Field(description="Mean over prompts of steered minus clean logit difference (nats).")
    effects: tuple[float, ...] = Field(description="The same for each prompt (nats).")
    answered: tuple[bool, ...] = Field(description="Whether each prompt's most likely token is now the answer.")
    perplexity_ratio: float = Field(description="Perplexity of neutral text, steered over clean; 1 is no harm.")
    random_effects: tuple[float, ...] = Field(description="Mean effect of each random direction (nats).")
    random_perplexity_ratios: tuple[float, ...] = Field(description="Perplexity ratio of each random direction.")


class SteerResult(ToolResult):
    site: str = Field(description="Canonical name of where was written.")
    direction: Literal["difference", "feature", "vector"] = Field(description="Where the direction came from.")
    dictionary_digest: str | None = Field(description="SHA-256 of the feature's dictionary; none without a feature.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")
    unit: float = Field(description="Mean length of values at the site over the tokens of the neutral texts.")
    direction_length: float = Field(description="Length of the direction as it was found or given (units).")
    points: tuple[SteerPoint, ...] = Field(description="Per strength, in the order asked.")
    clean: tuple[float, ...] = Field(description="Logit difference of each prompt, answer minus foil (nats).")
    clean_answered: tuple[bool, ...] = Field(description="Whether each prompt's most likely token is the answer.")
    clean_perplexity: float = Field(description="Perplexity of the neutral texts without steering.")
    no_op_change: float = Field(description="Largest change of any logit when nothing is pushed: 0 is due.")
    n_prompts: int = Field(description="Prompts that ran (count).")
    n_neutral_texts: int = Field(description="Neutral texts that ran (count).")
    n_neutral_tokens: int = Field(description="Tokens of them that were predicted (count).")


@tool
def steer(subject: Subject, args: SteerArgs, progress: Progress = silent) -> SteerResult:
    """Push the model along a direction and measure how an answer moves, beside the harm to neutral text.

    Raises:
        ToolError: unknown site, a direction that does not fit it or has no length, no such feature, an entity that is
            not in its prompt, an answer the tokenizer splits, or no neutral texts.
    """
    site = subject.site(args.site)
    refuse_read_only([site])
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary) if args.feature else None
    find_direction = _direction(subject, site, args, dictionary)
    bench = _Bench(subject, site, args)
    progress(0, len(args.strengths), "reading the direction")
    found = find_direction().float()
    length = found.norm().item()
    if length == 0:
        raise ToolError(f"The direction at `{site}` has length 0.", mend="Give prompts, or numbers, that differ.")
    unit_vector, unit = found / length, bench.neutral.mean_length()
    noise = torch.randn(args.random_draws, len(found), generator=torch.Generator().manual_seed(args.seed)).to(found)
    others = noise / noise.norm(dim=-1, keepdim=True)
    points = []
    for strength in args.strengths:
        progress(len(points), len(args.strengths), f"strength {strength:g}")
        points.append(bench.point(strength, unit, unit_vector, others))
    progress(len(points), len(points), "steered")
    return SteerResult(
        site=str(site),
        direction="difference" if args.positive else "feature" if args.feature else "vector",
        dictionary_digest=None if dictionary is None else dictionary.digest,
        dictionary_forced=dictionary is not None and dictionary.forced,
        unit=unit,
        direction_length=length / unit,
        points=tuple(points),
        clean=tuple(bench.clean.tolist()),
        clean_answered=bench.clean_answered,
        clean_perplexity=math.exp(bench.clean_loss),
        no_op_change=bench.no_op_change(unit, unit_vector),
        n_prompts=len(args.prompts),
        n_neutral_texts=bench.neutral.n_texts,
        n_neutral_tokens=bench.neutral.n_predicted,
    )


class _Bench:
    """The prompts and neutral texts of one call, run clean once and then under any push."""

    def __init__(self, subject: Subject, site: Site, args: SteerArgs) -> None:
        self.mode: Mode = args.mode
        texts = (args.neutral_texts or subject.texts)[: args.n_neutral]
        if not texts:
            raise ToolError(f"{subject.name} came with no texts.", mend="Pass some in `neutral_texts`.")
        self._answers = torch.tensor([subject.answer_token(prompt, args.answer) for prompt in args.prompts])
        self._foils = torch.tensor([subject.answer_token(prompt, args.foil) for prompt in args.prompts])
        if (self._answers == self._foils).any():
            raise ToolError("Answer and foil are one token.", mend="Give two different words.")
        self.prompts = Passages(subject, str(site), args.prompts, args.positions, args.entities)
        self.neutral = Passages(subject, str(site), texts, "all")
        if self.neutral.n_predicted == 0:
            raise ToolError("No neutral text has a token to predict.", mend="Give texts of several words.")
        self.clean, self.clean_answered = self._answered(None)
        self.clean_loss = self.neutral.loss()

    def point(
        self,
        strength: float,
        unit: float,
        direction: Float[Tensor, " d_model"],
        others: Float[Tensor, "batch d_model"],
    ) -> SteerPoint:
        """One strength along the direction, and as far along each of the others."""
        how_far = coefficient(self.mode, strength, unit)
        pushed, answered = self._answered(Push(direction, direction, how_far))
        controls = [Push(direction, other, how_far) for other in others]
        return SteerPoint(
            strength=strength,
            effect=(pushed - self.clean).mean().item(),
            effects=tuple((pushed - self.clean).tolist()),
            answered=answered,
            perplexity_ratio=self._ratio(Push(direction, direction, how_far)),
            random_effects=tuple((self._answered(push)[0] - self.clean).mean().item() for push in controls),
            random_perplexity_ratios=tuple(map(self._ratio, controls)),
        )

    def no_op_change(self, unit: float, direction: Float[Tensor, " d_model"]) -> float:
        """Largest change of any logit, of prompts and neutral texts, when nothing is pushed."""
        if self.mode == "clamp":
            return max(passages.change_when_kept(direction) for passages in (self.prompts, self.neutral))
        nothing = Push(direction, direction, coefficient(self.mode, 0.0, unit))
        return max(passages.change_by(nothing) for passages in (self.prompts, self.neutral))

    def _answered(self, push: Push | None) -> tuple[Float[Tensor, " batch"], tuple[bool, ...]]:
        logits = self.prompts.last_logits(push)
        rows = torch.arange(len(logits))
        difference = logits[rows, self._answers] - logits[rows, self._foils]
        return difference, tuple((logits.argmax(-1) == self._answers).tolist())

    def _ratio(self, push: Push) -> float:
        more = self.neutral.loss(push) - self.clean_loss
        if more > LARGEST_EXPONENT:
            raise ToolError(f"Neutral text costs {more:.0f} nats more per token.", mend="Use smaller strengths.")
        return math.exp(more)


def coefficient(mode: Mode, strength: float, unit: float) -> Coefficient:
    """How far each token is moved along the direction, from its projection on it (see the head of this file)."""
    if mode == "add":
        return lambda seen: torch.full_like(seen, strength * unit)
    if mode == "clamp":
        return lambda seen: strength * unit - seen
    return lambda seen: -strength * seen


def _direction(
    subject: Subject, site: Site, args: SteerArgs, dictionary: Dictionary | None
) -> Callable[[], Float[Tensor, " d_model"]]:
    """Checks the direction's source now; what is returned finds the direction, running the subject where it must."""
    width = {"head": subject.shape.d_head, "mlp_act": subject.shape.d_mlp}.get(site.kind, subject.shape.d_model)
    if args.positive:
        at = args.positions if args.read_at == "same" else args.read_at
        have = Passages(subject, str(site), args.positive, at, args.positive_entities)
        lack = Passages(subject, str(site), args.negative, at, args.negative_entities)
        return lambda: have.mean_value() - lack.mean_value()
    if args.vector:
        found = torch.tensor(args.vector, device=subject.device)
        mend = f"Give {width} numbers."
    else:
        assert dictionary is not None, "a direction has a source"
        layer, feature = dictionary.feature(args.feature)
        found = layer.W_dec[feature].detach()
        mend = "A feature writes where the stream is: use resid_pre, resid_mid, resid_post, attn_out or mlp_out."
    if len(found) != width:
        raise ToolError(f"The direction has {len(found)} numbers, but `{site}` has {width}.", mend=mend)
    return lambda: found
