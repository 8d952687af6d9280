"""How much of a steering effect is the direction's: one card with everything it may hang on.

After "When the Coffee Feature Activates on Coffins" (2026), which finds feature steering fragile: it depends on the
layer, on the strength and on the context, and features of neighbouring meaning are hard to tell apart. So one setting
(site, strength, prompts) is measured beside each of these:

| part | what is changed |
| --- | --- |
| contexts | the prompts: other wordings that ask for the same words |
| layers | the site's layer, the direction found anew there where it comes from contrast |
| strengths | half, double and others, as multiples of the strength |
| off target | prompts about something else: answers that are lost, and the KL divergence of the next token |
| fluency | perplexity of neutral text |
| random | at least 20 random directions of the same length |
| neighbours | the features that write most nearly the same, pushed as far |
| prompting | nothing is steered: a text is put in front of the prompts, the arm that steering has to beat |

Off-target prompts that name no entity are written at all their tokens, as neutral text is. What a push is, and where
directions come from, stands in `steer.py` and `_steering_directions.py`. Only adding is measured: what a clamp or an
ablation pushes differs from prompt to prompt.
"""

from dataclasses import dataclass

from pydantic import Field, model_validator

from ._base import Frozen, Progress, ToolArgs, ToolResult, silent, tool
from ._dictionary_file import dictionary_of
from ._linear_probe import ProbeFit
from ._site_width import width_of
from ._sites import Site
from ._steering_aims import no_op_change, random_directions
from ._steering_bench import NeutralTexts, Questions
from ._steering_card import Arm, Bystanders, Harm, NeighbourArm, OffTarget, Setting, in_front, other_layers
from ._steering_directions import DirectionArgs, Directions, Finite, Source, need_entities
from ._steering_fragility import FragilityRule, Measured, Weakness, weaknesses_of
from ._steering_neighbours import neighbours_of, refuse_narrow
from ._subject import Subject

MIN_DRAWS = 20
AROUND = (0.5, 2.0)  # multiples of the strength that are judged


class Context(Frozen):
    """Prompts of one wording."""

    name: str = Field(description="What to call it.")
    prompts: tuple[str, ...] = Field(description="Prompts of it.", min_length=1)
    entities: tuple[str, ...] = Field((), description="Word of each prompt at `entity`.")


class SteeringCardArgs(DirectionArgs, ToolArgs):
    site: str = Field(description="Where to write; `layers` names others of its kind.")
    strength: Finite = Field(1.0, gt=0, description="Strength that is judged (mean length of values at the site).")
    contexts: tuple[Context, ...] = Field(
        description="Prompts to steer, in at least two wordings; all other parts are measured on the first.",
        min_length=2,
    )
    answer: str = Field(description="Next word whose logit counts up.")
    foil: str = Field(description="Next word whose logit counts down.")
    prompt_only: tuple[str, ...] = Field(
        description="Texts to put in front of the prompts instead of steering.", min_length=1
    )
    off_target: tuple[OffTarget, ...] = Field(description="Prompts about something else.", min_length=1)
    layers: tuple[int, ...] = Field((), description="Layers to steer at instead; none for those next to the site's.")
    multiples: tuple[Finite, ...] = Field(
        (0.25, 0.5, 1.0, 2.0, 4.0), description="Strengths to try, as multiples of the strength; 0.5 and 2 are due."
    )
    n_neighbours: int = Field(1, ge=1, le=100, description="Control: neighbouring features (count).")
    neighbours_from: str = Field("neurons", description="Dictionary of the neighbouring features.")
    neutral_texts: tuple[str, ...] = Field((), description="Texts for the perplexity; none for the model's own.")
    n_neutral: int = Field(32, ge=1, le=10_000, description="Neutral texts to use at most, from the first (count).")
    random_draws: int = Field(MIN_DRAWS, ge=MIN_DRAWS, le=1000, description="Control: random directions (count).")
    rule: FragilityRule = Field(FragilityRule.model_validate({}), description="Limits behind `weaknesses`.")
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Seed of the random directions, and of a probe's held-out prompts."
    )

    @model_validator(mode="after")
    def _can_be_judged(self) -> "SteeringCardArgs":
        if self.mode != "add":
            raise ValueError(f"a card is of pushes that are added; mode `{self.mode}` has no one strength")
        if lacking := [multiple for multiple in AROUND if multiple not in self.multiples]:
            raise ValueError(f"`multiples` lack {', '.join(f'{one:g}' for one in lacking)}, which are judged")
        names = [context.name for context in self.contexts]
        if len(set(names)) < len(names):
            raise ValueError("contexts have equal names; give each its own")
        for context in self.contexts:
            need_entities(self.positions, entities=(context.entities, context.prompts))
        return self


class SteeringCardResult(ToolResult):
    site: str = Field(description="Canonical name of where was written.")
    direction: Source = Field(description="Where the direction came from.")
    probe: ProbeFit | None = Field(description="How good the probe is whose weights are the direction.")
    unit: float = Field(description="Mean length of values at the site over the tokens of the neutral texts.")
    effect: float = Field(description="Mean over the first context's prompts at the judged strength (nats).")
    effects: tuple[float, ...] = Field(description="The same for each prompt (nats).")
    clean_answered: float = Field(
        description="Prompts of the first context whose most likely token is the answer without steering (share)."
    )
    contexts: tuple[Arm, ...] = Field(description="Every context, in the order asked.")
    layers: tuple[Arm, ...] = Field(description="The same kind of site at other layers.")
    strengths: tuple[Arm, ...] = Field(description="Other strengths, by their multiple.")
    strength_ratios: tuple[float, ...] = Field(description="Perplexity ratio of neutral text at each of them.")
    prompting: tuple[Arm, ...] = Field(description="Texts in front of the prompts, nothing steered.")
    neighbours: tuple[NeighbourArm, ...] = Field(description="Features that write most nearly the same.")
    random_effects: tuple[float, ...] = Field(description="Control: effect of each random direction (nats).")
    off_target: Harm = Field(description="What steering does to prompts about something else.")
    prompting_off_target: tuple[Harm, ...] = Field(description="What each text in front does to them.")
    random_off_target: tuple[float, ...] = Field(description="Control: KL divergence by each random direction (nats).")
    perplexity_ratio: float = Field(description="Perplexity of neutral text, steered over clean; 1 is no harm.")
    weaknesses: tuple[Weakness, ...] = Field(description="Limits of the rule that are broken; none is sound steering.")
    rule: FragilityRule = Field(description="Those limits.")
    dictionary_digest: str | None = Field(description="SHA-256 of the feature's dictionary; none without a feature.")
    no_op_change: float = Field(description="Largest change of any logit when nothing is pushed: 0 is due.")
    n_prompts: tuple[int, ...] = Field(description="Prompts of each context (count).")
    n_off_target: int = Field(description="Off-target prompts answered right without steering (count).")


@tool
def steering_card(subject: Subject, args: SteeringCardArgs, progress: Progress = silent) -> SteeringCardResult:
    """Judge a steering effect by all it may hang on: layer, strength, context, side effects, and simpler ways to it.

    Raises:
        ToolError: what `steer` refuses, a site without neighbouring layers or as narrow as a head, a text in front
            that the model cannot read, or no off-target prompt that the model answers.
    """
    site = subject.site(args.site)
    layers = other_layers(subject, site, args.layers)
    directions = Directions(subject, args, args.seed)
    for one in (site, *layers):
        directions.check(one)
    dictionary = dictionary_of(subject, args.neighbours_from, force=args.force_dictionary)
    refuse_narrow(dictionary, width_of(subject, site))
    contexts = [
        Questions(subject, c.prompts, args.answer, args.foil, args.positions, c.entities, directions.n_rows)
        for c in args.contexts
    ]
    texts = [_with_text(subject, args, text) for text in args.prompt_only]
    bystanders = Bystanders(subject, args.off_target, args.positions, directions.n_rows)
    neutral = NeutralTexts(subject, args.neutral_texts, args.n_neutral)
    progress(0, 3, "reading the direction")
    setting = Setting(directions, site, args.strength, contexts[0], neutral)
    arms = _Arms(
        contexts=[setting.arm(c.name, setting.pushes(), q) for c, q in zip(args.contexts, contexts, strict=True)],
        strengths={multiple: setting.arm(f"{multiple:g}", setting.pushes(multiple)) for multiple in args.multiples},
        layers={one: setting.arm(str(one), setting.pushes(at=one)) for one in layers},
        prompting=[setting.prompted(text, asked) for text, asked in zip(args.prompt_only, texts, strict=True)],
        neighbours=[setting.neighbour(one) for one in neighbours_of(dictionary, setting.mean_row, args.n_neighbours)],
    )
    progress(1, 3, "controls")
    return _judged(setting, arms, bystanders, args, progress)


@dataclass(frozen=True)
class _Arms:
    """The setting with one thing changed at a time."""

    contexts: list[Arm]
    strengths: dict[float, Arm]
    layers: dict[Site, Arm]
    prompting: list[Arm]
    neighbours: list[NeighbourArm]


def _judged(
    setting: Setting, arms: _Arms, bystanders: Bystanders, args: SteeringCardArgs, progress: Progress
) -> SteeringCardResult:
    """The arms beside random directions and harm, held against the rule."""
    pushes, aims, questions, neutral = setting.pushes(), setting.aims, setting.questions, setting.neutral
    drawn = random_directions(aims, args.random_draws, args.seed)
    random = [setting.along(one[str(setting.site)]) for one in drawn]
    effects, harm = questions.effects(pushes), bystanders.harm(pushes)
    measured = Measured(
        effect=effects.mean().item(),
        random=tuple(map(questions.effect, random)),
        neighbours=tuple(one.effect for one in arms.neighbours),
        prompting=tuple(one.effect for one in arms.prompting),
        contexts=tuple(one.effect for one in arms.contexts),
        near_layers=tuple(arm.effect for one, arm in arms.layers.items() if _is_near(one, setting.site)),
        near_strengths=tuple(arms.strengths[multiple].effect for multiple in AROUND),
        lost=harm.lost,
        perplexity_ratio=neutral.ratio(pushes),
    )
    progress(2, 3, "harm")
    dictionary, answered = setting.directions.dictionary, questions.clean_answered
    return SteeringCardResult(
        site=str(setting.site),
        direction=args.source,
        probe=setting.aim.probe,
        unit=setting.aim.unit,
        effect=measured.effect,
        effects=tuple(effects.tolist()),
        clean_answered=sum(answered) / len(answered),
        contexts=tuple(arms.contexts),
        layers=tuple(arms.layers.values()),
        strengths=tuple(arms.strengths.values()),
        strength_ratios=tuple(neutral.ratio(setting.pushes(multiple)) for multiple in arms.strengths),
        prompting=tuple(arms.prompting),
        neighbours=tuple(arms.neighbours),
        random_effects=measured.random,
        off_target=harm,
        prompting_off_target=tuple(bystanders.harm(text=text) for text in args.prompt_only),
        random_off_target=tuple(bystanders.harm(push).kl for push in random),
        perplexity_ratio=measured.perplexity_ratio,
        weaknesses=weaknesses_of(args.rule, measured),
        rule=args.rule,
        dictionary_digest=None if dictionary is None else dictionary.digest,
        no_op_change=no_op_change((questions.passages, neutral.passages), aims, "add"),
        n_prompts=tuple(len(context.prompts) for context in args.contexts),
        n_off_target=bystanders.n_right,
    )


def _with_text(subject: Subject, args: SteeringCardArgs, text: str) -> Questions:
    """The first context's prompts with a text in front."""
    prompts = [in_front(text, prompt) for prompt in args.contexts[0].prompts]
    return Questions(subject, prompts, args.answer, args.foil, "all", ())


def _is_near(one: Site, site: Site) -> bool:
    assert one.layer is not None, f"{one} without a layer"
    assert site.layer is not None, f"{site} without a layer"
    return abs(one.layer - site.layer) == 1
