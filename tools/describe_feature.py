"""What one feature of a dictionary answers to, and what it says.

Answers to: the texts on which it is most active. Says: the tokens that its write vector promotes and suppresses on the
direct path to the output, as in Dunefsky, Chlenski, Nanda 2024 (nostalgebraist 2020 for the reading by unembedding).
The write vector goes through the final norm's centring and weight and the unembedding, less the mean over the
vocabulary; the norm's denominator depends on the prompt and is left out, so the numbers rank tokens and are no logits.
The direct path is one of many: what later layers make of the feature is measured by patching or an attribution graph.
"""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._dictionary_file import dictionary_of
from ._dictionary_reading import read_prompts
from ._subject import Subject


class DescribeFeatureArgs(ToolArgs):
    feature: str = Field(description="LAYER/FEATURE, for example `1/37`.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    texts: tuple[str, ...] = Field((), description="Texts to look in; none for the neutral texts of the model.")
    top_k: int = Field(8, ge=1, le=100, description="Contexts, and tokens of each kind, to list at most (count).")


class FeatureContext(Frozen):
    """A text in which the feature is active."""

    text: str = Field(description="The text.")
    tokens: tuple[str, ...] = Field(description="Its tokens.")
    activations: tuple[float, ...] = Field(description="The feature's activation at each token.")
    peak: int = Field(description="Index of the token where it is largest; the first of equals.")
    peak_activation: float = Field(description="Its activation there.")


class DirectToken(Frozen):
    """A token on the direct path from the feature."""

    token: str = Field(description="Text of the token.")
    weight: float = Field(description="Write vector, centred and weighted by the final norm, times its unembedding.")


class DescribeFeatureResult(ToolResult):
    layer: int = Field(description="Layer of the MLP.")
    feature: int = Field(description="Index in the layer's dictionary.")
    contexts: tuple[FeatureContext, ...] = Field(description="Distinct texts, the most activating first.")
    promoted: tuple[DirectToken, ...] = Field(description="Tokens that a positive activation raises most.")
    suppressed: tuple[DirectToken, ...] = Field(description="Tokens that a positive activation lowers most.")
    frequency: float = Field(description="Tokens of all texts at which it is active (share).")
    max_activation: float = Field(description="Largest activation over all texts.")
    n_texts: int = Field(description="Distinct texts read (count).")
    n_tokens: int = Field(description="Tokens read (count).")
    dictionary: str = Field(description="Dictionary that was read.")
    dictionary_digest: str = Field(description="SHA-256 of that dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")


@tool
def describe_feature(subject: Subject, args: DescribeFeatureArgs, progress: Progress = silent) -> DescribeFeatureResult:
    """Show the texts that activate one dictionary feature most, and the tokens it raises and lowers directly.

    Raises:
        ToolError: no such feature or dictionary, a dictionary for other weights, or no texts to look in.
    """
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    layer, feature = dictionary.feature(args.feature)
    texts = tuple(dict.fromkeys(args.texts or subject.texts))
    if not texts:
        raise ToolError(f"{subject.name} came with no texts.", mend="Pass some in `texts`.")
    read = [(tokens, acts[:, feature].tolist()) for tokens, acts in read_prompts(subject, [layer], texts, progress)]
    everywhere = [act for _, acts in read for act in acts]
    weights = direct_path(subject, layer.W_dec[feature])
    order = weights.sort(descending=True, stable=True).indices.tolist()
    return DescribeFeatureResult(
        layer=layer.layer,
        feature=feature,
        contexts=_contexts(texts, read)[: args.top_k],
        promoted=_tokens(subject, weights, order[: args.top_k]),
        suppressed=_tokens(subject, weights, order[::-1][: args.top_k]),
        frequency=sum(act != 0 for act in everywhere) / len(everywhere),
        max_activation=max(everywhere),
        n_texts=len(texts),
        n_tokens=len(everywhere),
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
    )


def direct_path(subject: Subject, write: Float[Tensor, " d_model"]) -> Float[Tensor, " vocab"]:
    """What a write vector adds to each token's logit, less the mean, before the final norm's scale and any cap."""
    norm = subject.final_norm
    weights = ((norm.centre(write) * norm.weight).to(subject.W_U.dtype) @ subject.W_U).float()
    return weights - weights.mean()


def _contexts(texts: tuple[str, ...], read: list[tuple[tuple[str, ...], list[float]]]) -> tuple[FeatureContext, ...]:
    """The texts with any activation, the most activating first; of equals the first given."""
    found = [
        FeatureContext(
            text=text,
            tokens=tokens,
            activations=tuple(acts),
            peak=acts.index(max(acts)),
            peak_activation=max(acts),
        )
        for text, (tokens, acts) in zip(texts, read, strict=True)
        if max(acts) > 0
    ]
    return tuple(sorted(found, key=lambda context: -context.peak_activation))


def _tokens(subject: Subject, weights: Float[Tensor, " vocab"], ids: list[int]) -> tuple[DirectToken, ...]:
    names = subject.token_strings(ids)
    return tuple(DirectToken(token=name, weight=weights[i].item()) for i, name in zip(ids, names, strict=True))
