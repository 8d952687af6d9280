"""Push a model along a direction while it runs, and see what that does to one answer and to ordinary text.

Turner et al. 2023 (activation addition); Rimsky et al. 2024 (difference of means over contrasting prompts); clamped
features after Templeton et al. 2024; ablated directions after Arditi et al. 2024. Where directions come from stands in
`_steering_directions.py`. With u the direction at length 1, p = x·u the projection of a token's value x at the site, N
the mean length of values there and s the strength:

| mode | a token's value becomes | s = 0 | s = 1 |
| --- | --- | --- | --- |
| `add` | x + s N u | x | pushed by as much as values are long |
| `clamp` | x + (s N - p) u: the projection is set to s N | the projection is removed | set to N |
| `ablate` | x - s p u: the share s of the projection is removed | x | the projection is removed |

N is taken over all tokens of the neutral texts, so that a strength means the same whatever prompts are steered. Special
tokens (a beginning-of-text token above all) are read and written only where `last` or `entity` point at them: their
values are many times longer than others and a push there breaks the model rather than steering it. A delta has a row
for each of the last tokens: there u is the token's row, the rows being 1 long in the mean.

Several sites are written in one run, each with its own direction and its own N. Their pushes add up: a strength that is
mild at one layer may break a model when it is used at six.

Controls. Nothing is pushed: strength 0, or for `clamp` every projection set to what it is, must keep every logit to the
bit. Random directions: each token is moved exactly as far as the intervention moves it, along a random unit vector.
Cost: perplexity of neutral texts under the same push at all of their tokens, whatever `positions` says (they have no
entity, and nothing follows their last token), over perplexity without it; rows of a delta follow one another anew from
the end. What prompting alone could do, and how much hangs on layer, strength and context, `steering_card` measures.
"""

import math
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._linear_probe import ProbeFit
from ._steering import Mode
from ._steering_aims import Aim, Aims, no_op_change, pushes_of, random_directions
from ._steering_bench import NeutralTexts, Questions
from ._steering_directions import DirectionArgs, Directions, Finite, Source, need_entities
from ._subject import Subject


class SteerArgs(DirectionArgs, ToolArgs):
    site: str = Field(description="Where to write.")
    also_at: tuple[str, ...] = Field((), description="Further sites to write in the same run, for a range of layers.")
    prompts: tuple[str, ...] = Field(description="Prompts to steer.", min_length=1)
    answer: str = Field(description="Next word whose logit counts up.")
    foil: str = Field(description="Next word whose logit counts down.")
    strengths: tuple[Finite, ...] = Field(
        (0.5, 1.0, 2.0),
        min_length=1,
        description="Strengths to try (mean length of values at the site; for ablate the share removed).",
    )
    entities: tuple[str, ...] = Field((), description="Word of each prompt at `entity`.")
    neutral_texts: tuple[str, ...] = Field((), description="Texts for the perplexity; none for the model's own.")
    n_neutral: int = Field(32, ge=1, le=10_000, description="Neutral texts to use at most, from the first (count).")
    random_draws: int = Field(20, ge=20, le=1000, description="Control: random directions of equal length (count).")
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Seed of the random directions, and of a probe's held-out prompts."
    )

    @model_validator(mode="after")
    def _has_its_entities(self) -> "SteerArgs":
        need_entities(self.positions, entities=(self.entities, self.prompts))
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


class SteerPlace(Frozen):
    """One of the sites that were written."""

    site: str = Field(description="Canonical name.")
    unit: float = Field(description="Mean length of values at the site over the tokens of the neutral texts.")
    direction_length: float = Field(description="Length of the direction as it was found or given, rows in the mean.")
    probe: ProbeFit | None = Field(description="How good the probe is whose weights are the direction.")


class SteerResult(ToolResult):
    site: str = Field(description="Canonical name of where was written, the first of several.")
    direction: Source = Field(description="Where the direction came from.")
    places: tuple[SteerPlace, ...] = Field(description="Every site that was written, in the order asked.")
    n_rows: int | None = Field(description="Tokens that a delta has a row for (count); none for other directions.")
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
        ToolError: unknown site, or one named twice, a direction that does not fit it or has no length, no such
            feature, an entity that is not in its prompt, an answer the tokenizer splits, or no neutral texts.
    """
    sites = [subject.site(name) for name in (args.site, *args.also_at)]
    if len(set(sites)) < len(sites):
        raise ToolError("A site was named twice.", mend="Name each site once in `site` and `also_at`.")
    directions = Directions(subject, args, args.seed)
    for site in sites:
        directions.check(site)
    questions = Questions(
        subject, args.prompts, args.answer, args.foil, args.positions, args.entities, directions.n_rows
    )
    neutral = NeutralTexts(subject, args.neutral_texts, args.n_neutral)
    progress(0, len(args.strengths), "reading the direction")
    aims = {str(site): directions.aim(str(site), neutral.passages.mean_length(str(site))) for site in sites}
    others = random_directions(aims, args.random_draws, args.seed)
    points: list[SteerPoint] = []
    for strength in args.strengths:
        progress(len(points), len(args.strengths), f"strength {strength:g}")
        points.append(_point(questions, neutral, aims, others, args.mode, strength))
    progress(len(points), len(points), "steered")
    first = aims[str(sites[0])]
    return SteerResult(
        site=str(sites[0]),
        direction=args.source,
        places=tuple(_place(site, aim) for site, aim in aims.items()),
        n_rows=directions.n_rows,
        dictionary_digest=None if directions.dictionary is None else directions.dictionary.digest,
        dictionary_forced=directions.dictionary is not None and directions.dictionary.forced,
        unit=first.unit,
        direction_length=first.length,
        points=tuple(points),
        clean=tuple(questions.clean.tolist()),
        clean_answered=questions.clean_answered,
        clean_perplexity=math.exp(neutral.clean_loss),
        no_op_change=no_op_change((questions.passages, neutral.passages), aims, args.mode),
        n_prompts=len(args.prompts),
        n_neutral_texts=neutral.passages.n_texts,
        n_neutral_tokens=neutral.passages.n_predicted,
    )


def _place(site: str, aim: Aim) -> SteerPlace:
    return SteerPlace(site=site, unit=aim.unit, direction_length=aim.length, probe=aim.probe)


def _point(
    questions: Questions,
    neutral: NeutralTexts,
    aims: Aims,
    others: Sequence[Mapping[str, Tensor]],
    mode: Mode,
    strength: float,
) -> SteerPoint:
    """One strength along the direction, and as far along each of the others."""
    pushes = pushes_of(aims, mode, strength)
    pushed, answered = questions.answered(pushes)
    effects = pushed - questions.clean
    controls = [pushes_of(aims, mode, strength, other) for other in others]
    return SteerPoint(
        strength=strength,
        effect=effects.mean().item(),
        effects=tuple(effects.tolist()),
        answered=answered,
        perplexity_ratio=neutral.ratio(pushes),
        random_effects=tuple(map(questions.effect, controls)),
        random_perplexity_ratios=tuple(map(neutral.ratio, controls)),
    )
