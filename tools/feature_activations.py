"""Which features of a dictionary are active at each token of some prompts.

The reading behind every sentence of the kind "this feature stands for that": transcoder features after Dunefsky,
Chlenski, Nanda 2024, or the MLP's own neurons. A reading shows where a feature fires, not what it does.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ._base import Frozen, Progress, ToolArgs, ToolResult, silent, tool
from ._dictionary_file import dictionary_of
from ._dictionary_reading import read_prompts
from ._subject import Subject


class FeatureActivationsArgs(ToolArgs):
    prompts: tuple[str, ...] = Field(description="Texts to read.", min_length=1)
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    layers: tuple[int, ...] = Field((), description="Layers to read; none for all of the dictionary's.")
    top_k: int = Field(5, ge=1, le=100, description="Strongest features to list per token, over all layers (count).")


class ActiveFeature(Frozen):
    """A feature at a token."""

    layer: int = Field(description="Layer of the MLP.")
    feature: int = Field(description="Index in the layer's dictionary.")
    activation: float = Field(description="Its activation there; negative only for neurons.")


class TokenFeatures(Frozen):
    """One token's strongest features."""

    token: str = Field(description="Text of the token.")
    features: tuple[ActiveFeature, ...] = Field(description="Largest in size first; none where none is active.")


class PromptFeatures(Frozen):
    """One prompt, token by token."""

    prompt: str = Field(description="The prompt.")
    tokens: tuple[TokenFeatures, ...] = Field(description="Its tokens, in order.")


class FeatureSummary(Frozen):
    """One feature over all prompts."""

    layer: int = Field(description="Layer of the MLP.")
    feature: int = Field(description="Index in the layer's dictionary.")
    peak: float = Field(description="Its activation of largest size.")
    peak_prompt: int = Field(description="Index of the prompt where it peaks; the first of equals.")
    peak_position: int = Field(description="Index of the token where it peaks.")
    peak_token: str = Field(description="Text of that token.")
    density: float = Field(description="Tokens of all prompts at which it is active (share).")


class FeatureActivationsResult(ToolResult):
    prompts: tuple[PromptFeatures, ...] = Field(description="Per prompt, in the order given.")
    features: tuple[FeatureSummary, ...] = Field(description="Every feature listed above, by layer, then index.")
    n_tokens: int = Field(description="Tokens read (count).")
    dictionary: str = Field(description="Dictionary that was read.")
    dictionary_digest: str = Field(description="SHA-256 of that dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")


@dataclass(frozen=True)
class Columns:
    """Features of several layers side by side: which column is which."""

    layers: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """First column of each layer."""
        return (0, *accumulate(self.sizes[:-1]))

    def name(self, column: int) -> tuple[int, int]:
        """Layer and feature of a column."""
        place = bisect_right(self.starts, column) - 1
        return self.layers[place], column - self.starts[place]

    def number(self, layer: int, feature: int) -> int:
        """Column of a feature."""
        return self.starts[self.layers.index(layer)] + feature


@tool
def feature_activations(
    subject: Subject, args: FeatureActivationsArgs, progress: Progress = silent
) -> FeatureActivationsResult:
    """List the strongest dictionary features at every token of some prompts, and where each feature peaks.

    Raises:
        ToolError: no such dictionary or layer, a dictionary for other weights, or a prompt the model cannot read.
    """
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    layers = [dictionary.at(layer) for layer in dict.fromkeys(args.layers)] or list(dictionary.layers)
    columns = Columns(tuple(one.layer for one in layers), tuple(one.n_features for one in layers))
    texts, acts = [], []
    for tokens, values in read_prompts(subject, layers, args.prompts, progress):
        texts.append(tokens)
        acts.append(values)
    prompts = tuple(
        PromptFeatures(
            prompt=prompt,
            tokens=tuple(
                TokenFeatures(token=token, features=_strongest(values, args.top_k, columns))
                for token, values in zip(tokens, rows, strict=True)
            ),
        )
        for prompt, tokens, rows in zip(args.prompts, texts, acts, strict=True)
    )
    listed = sorted({(f.layer, f.feature) for p in prompts for t in p.tokens for f in t.features})
    everything = torch.cat(acts)
    where = [(prompt, position) for prompt, tokens in enumerate(texts) for position in range(len(tokens))]
    return FeatureActivationsResult(
        prompts=prompts,
        features=tuple(_summary(name, everything[:, columns.number(*name)], where, texts) for name in listed),
        n_tokens=len(everything),
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
    )


def _strongest(values: Float[Tensor, " feature"], top_k: int, columns: Columns) -> tuple[ActiveFeature, ...]:
    """The features of largest size at one token; of equals the first."""
    best = values.abs().sort(descending=True, stable=True).indices[:top_k].tolist()
    return tuple(
        ActiveFeature(layer=layer, feature=feature, activation=values[column].item())
        for column in best
        if values[column] != 0
        for layer, feature in [columns.name(column)]
    )


def _summary(
    name: tuple[int, int], values: Float[Tensor, " pos"], where: list[tuple[int, int]], texts: list[tuple[str, ...]]
) -> FeatureSummary:
    """One feature over the tokens of all prompts, laid end to end."""
    peak = int(values.abs().argmax())
    prompt, position = where[peak]
    return FeatureSummary(
        layer=name[0],
        feature=name[1],
        peak=values[peak].item(),
        peak_prompt=prompt,
        peak_position=position,
        peak_token=texts[prompt][position],
        density=(values != 0).float().mean().item(),
    )
