"""Set, scale or ablate features while a prompt runs, and measure what that changes.

Interventions on transcoder features after Dunefsky, Chlenski, Nanda 2024 and Ameisen et al. 2025, "Circuit Tracing".
A change is additive: (new minus clean activation) times what the feature writes is added to the MLP's output at that
token, and to those of later layers where the feature writes there too. Clean activations are those of the untouched
prompt, also where an earlier change would have moved them. What a dictionary misses stays in the run.

Three kinds of part are held as the prompt had them (`frozen`) or recomputed (`live`):

| part | frozen | live |
| --- | --- | --- |
| attention | patterns; values still move | queries, keys and patterns too |
| norms | denominators, those of queries and keys too | all |
| MLPs | what they wrote, and what the dictionary's skip makes of the change of their input | the model's own MLPs |

All frozen: the direct effect, which is linear, and equals the change of activation over the activation times the link
of the attribution graph. All live: what the model itself does. The floor of noise is the same run with nothing changed,
against the model itself. The control is random features of the same layers, which write at the same tokens vectors of
the same length.
"""

from typing import Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._dictionary import Dictionary
from ._dictionary_file import dictionary_of
from ._interventions import MIN_DRAWS, Change, Mode, Place, Plan, change_of, place_of, readings, refuse_doubles
from ._reader import Tokens
from ._rerun import Held, Outcome, Rerun
from ._subject import Subject

Part = Literal["live", "frozen"]


class InterveneFeaturesArgs(ToolArgs):
    prompt: str = Field(description="Text to run.")
    features: tuple[str, ...] = Field(
        description="One feature or several together: LAYER/FEATURE@POS at one token, or LAYER/FEATURE at all tokens "
        "but special ones.",
        min_length=1,
    )
    mode: Mode = Field("ablate", description="Set the activation to `value`, multiply it by `value`, or make it 0.")
    value: float | None = Field(
        None, allow_inf_nan=False, description="Activation to set, or factor to scale by; none for ablate."
    )
    attention: Part = Field("live", description="Attention patterns: recomputed, or those of the clean prompt.")
    norms: Part = Field("live", description="Norm denominators: recomputed, or those of the clean prompt.")
    mlps: Part = Field("live", description="MLPs: recomputed, or what they wrote on the clean prompt.")
    answers: tuple[str, ...] = Field((), description="Next words to measure.")
    top_k: int = Field(3, ge=0, le=100, description="Most likely tokens to measure too, before and after (count).")
    read: tuple[str, ...] = Field((), description="Features to read in the changed run: LAYER/FEATURE@POS.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    random_draws: int = Field(
        MIN_DRAWS, ge=MIN_DRAWS, le=1000, description="Control: draws of random features (count)."
    )
    seed: int = Field(0, ge=0, description="Seed of the random features.")

    @model_validator(mode="after")
    def _has_what_the_mode_needs(self) -> "InterveneFeaturesArgs":
        if (self.mode == "ablate") != (self.value is None):
            raise ValueError("`set` and `scale` need a `value`, and `ablate` takes none")
        if not self.answers and not self.top_k:
            raise ValueError("name `answers`, or let `top_k` be 1 or more")
        return self


class FeatureChange(Frozen):
    """A feature at a token, before and after."""

    id: str = Field(description="`LAYER/FEATURE@POS`, as in attribution graphs.")
    token: str = Field(description="Text of the token.")
    clean: float = Field(description="Activation on the prompt.")
    new: float = Field(description="Activation that it was given.")


class TokenEffect(Frozen):
    """A next token, before and after."""

    token: str = Field(description="Text of the token.")
    token_id: int = Field(description="Its number in the vocabulary.")
    asked: bool = Field(description="Whether it is one of `answers`; else one of the most likely, before or after.")
    clean_logit: float = Field(description="Its logit with nothing changed (nats).")
    changed_logit: float = Field(description="Its logit with the features changed (nats).")
    clean_probability: float = Field(description="Its probability with nothing changed.")
    changed_probability: float = Field(description="Its probability with the features changed.")
    moved: float = Field(
        description="Change of its logit less the mean over the vocabulary, before a cap that the model may have: what "
        "links of attribution graphs are about (nats)."
    )
    random_changes: tuple[float, ...] = Field(description="Control: change of its logit by each draw (nats).")


class FeatureEffect(Frozen):
    """A feature that was read, before and after."""

    id: str = Field(description="`LAYER/FEATURE@POS`.")
    token: str = Field(description="Text of the token.")
    clean: float = Field(description="Activation with nothing changed.")
    changed: float = Field(description="Activation that its changed input gives it, whatever it was itself set to.")
    moved: float = Field(
        description="Change of its pre-activation, or of a neuron's tangent: what links of attribution graphs say."
    )
    random_changes: tuple[float, ...] = Field(description="Control: change of its activation by each draw.")


class InterveneFeaturesResult(ToolResult):
    changed: tuple[FeatureChange, ...] = Field(description="What was changed, in the order asked.")
    tokens: tuple[TokenEffect, ...] = Field(description="Answers, then the most likely tokens before and after.")
    read: tuple[FeatureEffect, ...] = Field(description="Features that were read, in the order asked.")
    kl: float = Field(description="KL divergence of the next token, clean from changed (nats).")
    random_kl: tuple[float, ...] = Field(description="Control: the same for each draw of random features (nats).")
    as_strong: float = Field(description="Control: draws with a KL divergence as large or larger (share).")
    added_length: float = Field(description="Length of all that was added to MLP outputs, over layers and tokens.")
    no_op_change: float = Field(
        description="Noise: largest difference of any logit between the model and this run with nothing changed (nats)."
    )
    dictionary: str = Field(description="Dictionary whose features were changed.")
    dictionary_digest: str = Field(description="SHA-256 of that dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")


@tool
def intervene_features(
    subject: Subject, args: InterveneFeaturesArgs, progress: Progress = silent
) -> InterveneFeaturesResult:
    """Set, scale or ablate features of a dictionary on a prompt and measure what changes, beside random features.

    Raises:
        ToolError: a prompt or word that the model cannot read, no such feature or token, a feature that is not active
            where it is to be scaled or ablated, or a value so large that the logits are not finite.
    """
    tokens = subject.tokenise([args.prompt])
    answers = [subject.answer_token(args.prompt, word) for word in args.answers]
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    places = [place_of(subject, dictionary, name, tokens) for name in args.features]
    refuse_doubles(places)
    listened = [_read_place(subject, dictionary, name, tokens) for name in args.read]
    progress(0, 2, "running the prompt")
    skips = {one.layer: one.W_skip for one in dictionary.layers if one.W_skip is not None}
    rerun = Rerun(subject, tokens, {place.layer.reads for place in places}, skips)
    changes = [change_of(rerun, place, args.mode, args.value or 0.0) for place in places]
    held = Held(args.attention == "frozen", args.norms == "frozen", args.mlps == "frozen")
    no_op_change = rerun.no_op_change(held)
    plan = Plan(rerun, changes, args.random_draws, args.seed)
    progress(1, 2, "changing features")
    outcome = rerun.run(held, plan.added, plan.in_front, {place.layer.layer for place in listened})
    if not outcome.logits.isfinite().all():
        raise ToolError("The changed model's logits are not finite.", mend="Use a smaller `value`.")
    divergence = _divergence(outcome.logits)
    return InterveneFeaturesResult(
        changed=_changed(subject, tokens, changes),
        tokens=_tokens(subject, outcome, answers, args.top_k),
        read=_read(subject, tokens, rerun, outcome, listened),
        kl=divergence[0],
        random_kl=tuple(divergence[1:]),
        as_strong=sum(one >= divergence[0] for one in divergence[1:]) / args.random_draws,
        added_length=plan.length,
        no_op_change=no_op_change,
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
    )


def _read_place(subject: Subject, dictionary: Dictionary, name: str, tokens: Tokens) -> Place:
    if "@" not in name:
        raise ToolError(f"`{name}` says no token to read the feature at.", mend="Write it as LAYER/FEATURE@POS.")
    return place_of(subject, dictionary, name, tokens)


def _divergence(logits: Float[Tensor, "batch vocab"]) -> list[float]:
    """KL divergence of the first row from each other one (nats)."""
    logp = logits.double().log_softmax(-1)
    found = (logp[:1].exp() * (logp[:1] - logp[1:])).sum(-1)
    return found.clamp(min=0).tolist()  # rounding alone makes it negative


def _changed(subject: Subject, tokens: Tokens, changes: list[Change]) -> tuple[FeatureChange, ...]:
    texts = subject.token_strings(tokens.ids[0].tolist())
    return tuple(
        FeatureChange(id=f"{change.place.name}@{at}", token=texts[at], clean=clean, new=new)
        for change in changes
        for at, clean, new in zip(change.place.positions, change.clean.tolist(), change.new.tolist(), strict=True)
    )


def _tokens(subject: Subject, outcome: Outcome, answers: list[int], top_k: int) -> tuple[TokenEffect, ...]:
    logits, n_vocab = outcome.logits, outcome.logits.shape[1]
    likely = logits[:2].topk(min(top_k, n_vocab)).indices.flatten().tolist()
    chosen = list(dict.fromkeys([*answers, *likely]))
    picked, probability = logits[:, chosen], logits[:2].softmax(-1)[:, chosen].tolist()
    W_U = subject.W_U.to(outcome.final.dtype)
    moved = (outcome.final[1] - outcome.final[0]) @ (W_U[:, chosen] - W_U.mean(-1, keepdim=True))
    return tuple(
        TokenEffect(
            token=text,
            token_id=number,
            asked=number in answers,
            clean_logit=picked[0, i].item(),
            changed_logit=picked[1, i].item(),
            clean_probability=probability[0][i],
            changed_probability=probability[1][i],
            moved=moved[i].item(),
            random_changes=tuple((picked[2:, i] - picked[0, i]).tolist()),
        )
        for i, (number, text) in enumerate(zip(chosen, subject.token_strings(chosen), strict=True))
    )


def _read(
    subject: Subject, tokens: Tokens, rerun: Rerun, outcome: Outcome, places: list[Place]
) -> tuple[FeatureEffect, ...]:
    texts = subject.token_strings(tokens.ids[0].tolist())
    return tuple(
        FeatureEffect(
            id=f"{place.name}@{place.positions[0]}",
            token=texts[place.positions[0]],
            clean=found.activation[0].item(),
            changed=found.activation[1].item(),
            moved=found.moved[1].item(),
            random_changes=tuple((found.activation[2:] - found.activation[0]).tolist()),
        )
        for place, found in zip(places, readings(rerun, outcome, places), strict=True)
    )
