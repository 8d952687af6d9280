"""Directions to steer along: found in contrasting prompts, taken from a feature, or given as numbers.

| direction | what it is | source |
| --- | --- | --- |
| `difference` | mean over positive prompts less mean over negative ones | Rimsky et al. 2024 |
| `delta` | the same pair by pair and token by token: a row for each of the last tokens | Turner et al. 2023 |
| `probe` | weights of a linear probe between the two | Alain and Bengio 2016; Li et al. 2023 |
| `feature` | what a feature of a dictionary writes | Templeton et al. 2024 |
| `vector` | any numbers, for example a functional of the logits pulled back to the site | Dunefsky and Cohan 2023 |

Contrasting prompts are read at every site by itself, so each site is steered along what was found there. The rows of a
delta are added at the end of what is written, where Turner et al. add theirs at a prompt's beginning: what prompts of
several lengths have in common is where they end.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from ._base import ToolArgs, ToolError
from ._dictionary import Dictionary
from ._dictionary_file import dictionary_of
from ._linear_probe import ProbeFit, fit_probe
from ._site_width import width_of
from ._sites import Site, refuse_read_only
from ._steering import Mode, Passages, Positions
from ._steering_aims import Aim
from ._subject import Subject

Method = Literal["difference", "delta", "probe"]
Source = Literal["difference", "delta", "probe", "feature", "vector"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class DirectionArgs(ToolArgs):
    """Where a direction comes from, and which tokens are written."""

    positive: tuple[str, ...] = Field((), description="Direction from contrast: prompts that have it.")
    negative: tuple[str, ...] = Field((), description="Prompts that lack it; for `delta` one beside each that has it.")
    method: Method = Field(
        "difference",
        description="What is made of the contrast: the difference of means, a `delta` with a row for each token, or "
        "the weights of a linear probe.",
    )
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
    positions: Positions = Field("all", description="Tokens to write: all but special ones, the last, or the entity's.")
    read_at: Literal["same", "all", "last", "entity"] = Field(
        "same", description="Tokens of positive and negative prompts that are read; `same` as `positions`."
    )
    positive_entities: tuple[str, ...] = Field((), description="Word of each positive prompt at `entity`.")
    negative_entities: tuple[str, ...] = Field((), description="Word of each negative prompt at `entity`.")

    @model_validator(mode="after")
    def _names_one_direction(self) -> "DirectionArgs":
        if bool(self.positive) != bool(self.negative):
            raise ValueError("a direction from contrast needs both positive and negative prompts")
        if (bool(self.positive) + bool(self.feature) + bool(self.vector)) != 1:
            raise ValueError("give exactly one direction: positive and negative prompts, or `feature`, or `vector`")
        if self.method != "difference" and not self.positive:
            raise ValueError(f"`{self.method}` is made of positive and negative prompts; give them, or leave it out")
        if self.method == "delta":
            if len(self.positive) != len(self.negative):
                raise ValueError(
                    f"{len(self.positive)} positive and {len(self.negative)} negative prompts; a delta takes pairs"
                )
            if self.mode != "add":
                raise ValueError("a delta can be added alone: it has no one projection to clamp or ablate")
        if self.positive:
            need_entities(self.reads, positive_entities=(self.positive_entities, self.positive))
            need_entities(self.reads, negative_entities=(self.negative_entities, self.negative))
        return self

    @property
    def reads(self) -> Positions:
        """Tokens of the contrasting prompts that are read."""
        return self.positions if self.read_at == "same" else self.read_at

    @property
    def source(self) -> Source:
        """Where the direction comes from."""
        return self.method if self.positive else "feature" if self.feature else "vector"


def need_entities(at: Positions, **given: tuple[Sequence[str], Sequence[str]]) -> None:
    """Refuse position `entity` without one entity for each prompt: by the field's name, entities and prompts."""
    for name, (entities, prompts) in given.items():
        if at == "entity" and len(entities) != len(prompts):
            raise ValueError(f"{len(entities)} {name} for {len(prompts)} prompts; position `entity` needs one each")


class Directions:
    """A direction's source, checked for a subject; it finds the direction at any site, running the subject if it must.

    Raises:
        ToolError: no such feature or dictionary, an entity that is not in its prompt, pairs of a delta that differ in
            length.
    """

    def __init__(self, subject: Subject, args: DirectionArgs, seed: int) -> None:
        self._subject, self._args, self._seed = subject, args, seed
        self.dictionary: Dictionary | None = None
        self.n_rows: int | None = None  # of a delta
        if args.feature:
            self.dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
            self._written = self.dictionary.feature(args.feature)
        if args.positive:
            self._have = Passages(subject, args.positive, args.reads, args.positive_entities)
            self._lack = Passages(subject, args.negative, args.reads, args.negative_entities)
        if args.method == "delta":
            self.n_rows = self._rows_of_pairs()

    def check(self, site: Site) -> None:
        """
        Raises:
            ToolError: a site that cannot be written, or that the direction does not fit.
        """
        refuse_read_only([site])
        if self._args.positive:
            return
        width = width_of(self._subject, site)
        if self._args.vector:
            found, mend = len(self._args.vector), f"Give {width} numbers."
        else:
            layer, _ = self._written
            found = layer.W_dec.shape[-1]
            mend = "A feature writes where the stream is: use resid_pre, resid_mid, resid_post, attn_out or mlp_out."
        if found != width:
            raise ToolError(f"The direction has {found} numbers, but `{site}` has {width}.", mend=mend)

    def aim(self, site: str, unit: float) -> Aim:
        """The direction at a site.

        Raises:
            ToolError: it has no length, no number can tell its length, values at the site have none, or a probe has too
            few prompts.
        """
        if not 0 < unit < math.inf:
            raise ToolError(
                f"Values at `{site}` have length {unit:g} on neutral texts, so that a strength means nothing there.",
                mend="Steer at a site where the model writes something.",
            )
        found, probe = self._found(site)
        rows = found.cpu().double()  # squares of what is very long or short have no number in single precision
        length = rows.norm(dim=-1).mean().item()
        if length == 0:
            raise ToolError(f"The direction at `{site}` has length 0.", mend="Give prompts, or numbers, that differ.")
        if not length / unit < math.inf:
            raise ToolError(f"The direction at `{site}` has length {length:g}.", mend="Give smaller numbers.")
        rows = (rows / length).float().to(self._subject.device)
        return Aim(rows, rows if rows.ndim == 1 else _first_axis(rows), length / unit, unit, probe)

    def _found(self, site: str) -> tuple[Float[Tensor, "*any d_model"], ProbeFit | None]:
        args = self._args
        if args.vector:
            return torch.tensor(args.vector, dtype=torch.float64), None
        if args.feature:
            layer, feature = self._written
            return layer.W_dec[feature].detach(), None
        if args.method == "difference":
            return self._have.mean_value(site) - self._lack.mean_value(site), None
        if args.method == "probe":
            probe = fit_probe(self._have.means(site), self._lack.means(site), self._seed)
            return probe.weights, probe.fit
        pairs = zip(self._have.values(site), self._lack.values(site), strict=True)
        return torch.stack([has - lacks for has, lacks in pairs]).mean(0), None

    def _rows_of_pairs(self) -> int:
        counts = self._have.n_chosen + self._lack.n_chosen
        if len(set(counts)) > 1:
            raise ToolError(
                f"Contrast pairs of a delta have {min(counts)} to {max(counts)} tokens.",
                mend="Write them with equally many tokens, or read them at `last`.",
            )
        return counts[0]


def _first_axis(rows: Float[Tensor, "pos d_model"]) -> Float[Tensor, " d_model"]:
    """Something of length 1 to read: what a delta adds does not depend on it."""
    return torch.eye(rows.shape[-1], device=rows.device)[0]
