"""What is said about attention, as plain data: parts of links by head, and parts of scores by pairs of sources."""

from pydantic import Field

from ._base import Frozen


class HeadPart(Frozen):
    """What came through one head last."""

    head: str = Field(description="LAYER.HEAD.")
    part: float = Field(description="Its part, over all tokens that it looked at (unit of the link).")
    key: int = Field(description="Index of the token through which most of it came.")
    token: str = Field(description="Text of that token.")
    key_part: float = Field(description="Part through that token (unit of the link).")
    attention: float = Field(description="How much the head looked at that token, from the target's (share).")


class CarriedBy(Frozen):
    """An effect on a target, split by the head that it passed last. `straight` and `layers` sum to `weight`."""

    source: str | None = Field(description="Node that writes; none for all sources together.")
    target: str = Field(description="Node that reads.")
    weight: float = Field(description="The link, as the attribution graph has it; for all sources, the sum of links.")
    straight: float = Field(description="Part that passed no head: same token, in the stream (or a dictionary's skip).")
    layers: tuple[float, ...] = Field(description="Part of each layer's heads together.")
    heads: tuple[HeadPart, ...] = Field(description="The strongest heads.")
    other_heads: float = Field(description="Part of all heads that are not listed.")
    constant: float | None = Field(
        description="What biases and positions add to the target, in no link: with `weight` it makes the target's "
        "value. None for a single source."
    )


class ScorePair(Frozen):
    """What a source of the query and a source of the key add to a score together."""

    query: str = Field(description="Id of what wrote the query's side, or `bias`.")
    key: str = Field(description="Id of what wrote the key's side, or `bias`.")
    part: float = Field(description="Its part of the score.")


class ScoreSource(Frozen):
    """What one source adds to a score, over all that it meets on the other side."""

    source: str = Field(description="Its id, or `bias`.")
    part: float = Field(description="Its part of the score.")


class LookedAt(Frozen):
    """One head's score of a query and a key. `pairs` and `other_pairs` sum to `sum_of_pairs`, which is the score."""

    head: str = Field(description="LAYER.HEAD.")
    query: int = Field(description="Index of the token that looks.")
    query_token: str = Field(description="Its text.")
    key: int = Field(description="Index of the token that is looked at.")
    key_token: str = Field(description="Its text.")
    against: int | None = Field(description="Index of the token whose score is taken off.")
    attention: float = Field(description="How much the head looks at the key (share).")
    score: float = Field(
        description="The model's own score, scaled, before cap, mask and softmax; less that of `against` if asked."
    )
    capped_score: float = Field(description="The same behind the cap on scores; equal where the model has none.")
    sum_of_pairs: float = Field(description="All pairs together: the score, rebuilt from its parts.")
    pairs: tuple[ScorePair, ...] = Field(description="The strongest pairs.")
    other_pairs: float = Field(description="Sum of all pairs that are not listed.")
    query_sources: tuple[ScoreSource, ...] = Field(
        description="Strongest of the query's side, each with all of the key."
    )
    key_sources: tuple[ScoreSource, ...] = Field(description="Strongest on the key's side, each with all of the query.")
