"""Prompts run with a group of features exchanged for another's, or taken out, and with random ones in its place.

A change is additive, as in `_interventions.py`: (new minus clean activation) times what the feature writes is added
where the feature writes, at the tokens where either is not zero. Clean activations are those of the untouched prompt;
everything else of the model runs live. All prompts of a batch run together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._base import ToolError
from ._dictionary import Dictionary, FeatureLayer
from ._hooks import Edit
from ._reader import Tokens
from ._subject import Subject
from ._supernode_random import Drawn, LayerSizes, random_groups, refuse_few
from ._supernode_writing import lengths, written

Group = Mapping[int, tuple[int, ...]]
"""Features by layer."""


def group_of(dictionary: Dictionary, names: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """The features LAYER/FEATURE of a group, by layer.

    Raises:
        ToolError: one that is written otherwise, does not exist, or stands twice.
    """
    found: dict[int, list[int]] = {}
    for name in names:
        layer, index = dictionary.feature(name)
        if index in found.setdefault(layer.layer, []):
            raise ToolError(f"Feature {layer.layer}/{index} is in the group twice.", mend="Name each once.")
        found[layer.layer].append(index)
    return {layer: tuple(sorted(features)) for layer, features in sorted(found.items())}


def aligned(base: Sequence[int], source: Sequence[int]) -> list[int | None]:
    """For each token of a prompt the one of another prompt that stands in the same place.

    Both begin alike and end alike; what differs between is compared from its end, as a word that a tokenizer writes in
    several pieces is understood at the last. A token without counterpart has none.
    """
    shorter = min(len(base), len(source))
    front = next((i for i in range(shorter) if base[i] != source[i]), shorter)
    behind = next((i for i in range(shorter - front) if base[-1 - i] != source[-1 - i]), shorter - front)
    middle = min(len(base), len(source)) - front - behind
    places: list[int | None] = [*range(front)]
    places += [None] * (len(base) - front - behind - middle)
    return [*places, *range(len(source) - behind - middle, len(source))]


@dataclass(frozen=True)
class _Layer:
    """One layer's changed features, over the batch: what becomes of them and who else there could stand in."""

    features: FeatureLayer
    own: tuple[int, ...]
    own_delta: Float[Tensor, "batch pos _"]  # new minus clean activation, of the group that is tested
    others: tuple[int, ...]
    others_delta: Float[Tensor, "batch pos _"]  # the same, of the groups that are put in
    alive: tuple[int, ...]  # features of no group that fire on a base or a source, and write


@dataclass(frozen=True)
class _Read:
    """Prompts as they run untouched."""

    logits: Float[Tensor, "batch vocab"]  # after the last token
    acts: dict[int, Float[Tensor, "batch pos _"]]  # by layer, of the features that were asked for
    totals: dict[int, Float[Tensor, " feature"]]  # by layer, absolute activations summed over all text tokens


class SupernodeRuns:
    """A batch of prompts, and what groups of features are to become in each."""

    def __init__(
        self,
        subject: Subject,
        dictionary: Dictionary,
        bases: Sequence[str],
        sources: Sequence[str] | None,
        own: Group,
        others: Sequence[Group],
    ) -> None:
        """
        Args:
            bases: prompts to run.
            sources: per prompt the one whose activations the groups are given; none to take the groups out.
            own: the group that is tested, in every prompt.
            others: per prompt the group that is put in; a feature of both is of the first.

        Raises:
            ToolError: a prompt that the subject cannot read, or activations that are not finite.
        """
        self._subject, self._dictionary = subject, dictionary
        self._own, self._others = own, others
        self._columns = {layer: tuple(sorted(found)) for layer, found in _columns([own, *others]).items()}
        self.tokens: Tokens = subject.tokenise(list(bases))
        self._clean = self._read(self.tokens, self._columns)
        given = None
        if sources is not None:
            theirs = subject.tokenise(list(sources))
            given = self._moved(theirs, self._read(theirs, self._columns))
        self._layers = self._changes(given)

    @property
    def logits(self) -> Float[Tensor, "batch vocab"]:
        """Last logits of the prompts themselves."""
        return self._clean.logits

    @property
    def idle(self) -> Bool[Tensor, " batch"]:
        """Prompts in which the tested group does not change, because it is active neither there nor in the source."""
        changed = [one.own_delta.flatten(1).any(1) for one in self._layers]
        return ~torch.stack(changed).any(0).cpu()

    @cached_property
    def n_alive(self) -> int:
        """Features of no group that fire on these prompts, in the groups' layers (count)."""
        return sum(len(one.alive) for one in self._layers)

    def changed(self) -> Float[Tensor, "batch vocab"]:
        """Last logits with all groups changed."""
        return self._with(self._layers, {one.features.layer: one.own for one in self._layers})

    def others_alone(self) -> Float[Tensor, "batch vocab"]:
        """Last logits with the other groups put in and the tested one left as it is; where there are none, clean."""
        return self._with(self._layers, None) if any(self._others) else self.logits

    def no_op_change(self) -> float:
        """Largest change of any logit when all groups are given what they have on the prompt itself: 0 is due.

        The way of a swap: the prompt's activations are aligned with its own tokens and put in.
        """
        same = self._changes(self._moved(self.tokens, self._clean))
        put_in = self._with(same, {one.features.layer: one.own for one in same})
        return (put_in - self.logits).abs().max().item()

    def random_directions(self, n_draws: int, seed: int) -> Iterator[Float[Tensor, "batch vocab"]]:
        """Last logits with other features of the same layers in the tested group's place, changed as far.

        Per draw every feature of the group is replaced, in all prompts alike, by one of its layer that fires on these
        prompts and is in no group; what is written has the same length at every token. The other groups are put in as
        ever.

        Raises:
            ToolError: too few such features.
        """
        generator = torch.Generator().manual_seed(seed)
        for one in self._layers:
            if n_draws and one.own:
                refuse_few(one.features.layer, len(one.own), len(one.alive))
        for _ in range(n_draws):
            drawn = {
                one.features.layer: tuple(
                    one.alive[i] for i in torch.randperm(len(one.alive), generator=generator)[: len(one.own)].tolist()
                )
                for one in self._layers
            }
            yield self._with(self._layers, drawn)

    def random_groups(self, n_draws: int, seed: int) -> tuple[Drawn, ...]:
        """Groups of other features that fire on these prompts: as `_supernode_random.py` says.

        Raises:
            ToolError: too few such features, or too small ones.
        """
        sizes = {}
        for one in self._layers:
            if one.own:
                found = self._sizes(one.features).cpu().numpy()
                sizes[one.features.layer] = LayerSizes(
                    own=tuple(found[list(one.own)].tolist()),
                    others=torch.tensor(one.alive, dtype=torch.int64).numpy(),
                    sizes=found[list(one.alive)],
                )
        return random_groups(sizes, n_draws, seed)

    def size(self, group: Group) -> float:
        """Summed length of what each feature of a group writes, over all prompts and tokens as they are."""
        return sum(self._sizes(self._dictionary.at(layer))[list(mine)].sum().item() for layer, mine in group.items())

    def taken_out(self, groups: Sequence[Group]) -> Iterator[Float[Tensor, "batch vocab"]]:
        """Last logits with each of these groups in turn, and nothing else, set to 0 wherever it is active.

        Their features fire on these prompts in the layers of the tested group.
        """
        columns = {layer: tuple(sorted(found)) for layer, found in _columns(groups).items()}
        acts = self._read(self.tokens, columns).acts if columns else {}
        for group in groups:
            parts = []
            for layer, mine in group.items():
                places = [columns[layer].index(feature) for feature in mine]
                delta = -acts[layer][..., places] * self._text[..., None]
                parts.append(written(self._dictionary.at(layer), mine, delta, mine))
            yield self._run(parts)

    def _sizes(self, features: FeatureLayer) -> Float[Tensor, " feature"]:
        return (self._clean.totals[features.layer] * lengths(features)).double()

    @cached_property
    def _text(self) -> Bool[Tensor, "batch pos"]:
        return self._subject.reader.is_text(self.tokens).to(self._subject.device)

    def _with(
        self, layers: Sequence[_Layer], writers: Mapping[int, tuple[int, ...]] | None
    ) -> Float[Tensor, "batch vocab"]:
        """Last logits with the other groups put in, and what these features write in the tested group's place."""
        parts = []
        for one in layers:
            parts.append(written(one.features, one.others, one.others_delta, one.others))
            if writers is not None:
                parts.append(written(one.features, one.own, one.own_delta, writers[one.features.layer]))
        return self._run(parts)

    def _run(self, parts: Iterable[Iterable[tuple[str, Tensor]]]) -> Float[Tensor, "batch vocab"]:
        """Last logits with all of this added at its sites."""
        added: dict[str, Tensor] = {}
        for site, value in (entry for part in parts for entry in part):
            added[site] = value if site not in added else added[site] + value

        def edits(rows: slice) -> dict[str, Edit]:
            return {site: partial(_add, value[rows]) for site, value in added.items()}

        return self._subject.last_logits(self.tokens, edits)

    def _changes(self, given: _Read | None) -> list[_Layer]:
        return [self._change(layer, given) for layer in sorted(self._columns)]

    def _change(self, layer: int, given: _Read | None) -> _Layer:
        features, columns, clean = self._dictionary.at(layer), self._columns[layer], self._clean
        new = 0.0 if given is None else given.acts[layer]
        delta = (new - clean.acts[layer]) * self._text[..., None]
        if not delta.isfinite().all():
            raise ToolError(
                f"Features of layer {layer} have activations that are not finite.", mend="Check weights and dictionary."
            )
        mine = [i for i, column in enumerate(columns) if column in self._own.get(layer, ())]
        theirs = [i for i in range(len(columns)) if i not in mine]
        put_in = [[columns[i] in group.get(layer, ()) for i in theirs] for group in self._others]
        mask = torch.tensor(put_in, device=delta.device, dtype=delta.dtype).reshape(len(put_in), 1, len(theirs))
        totals = clean.totals[layer] if given is None else clean.totals[layer] + given.totals[layer]
        free = (totals > 0) & totals.isfinite() & features.W_dec.any(-1)
        free[list(columns)] = False
        return _Layer(
            features=features,
            own=tuple(columns[i] for i in mine),
            own_delta=delta[..., mine],
            others=tuple(columns[i] for i in theirs),
            others_delta=delta[..., theirs] * mask,
            alive=tuple(free.nonzero()[:, 0].tolist()),
        )

    def _read(self, tokens: Tokens, columns: Mapping[int, Sequence[int]]) -> _Read:
        layers = {layer: self._dictionary.at(layer) for layer in sorted(columns)}
        logits, acts, totals = [], {layer: [] for layer in layers}, dict[int, Tensor]()
        for _, part in self._subject.passes(tokens):
            run = self._subject.run(part, read=[one.reads for one in layers.values()])
            logits.append(run.last_logits)
            text = self._subject.reader.is_text(part)
            for layer, one in layers.items():
                found = one.acts(run.sites[one.reads])
                acts[layer].append(found[..., list(columns[layer])])
                totals[layer] = totals.get(layer, 0.0) + found[text].float().abs().sum(0)
        return _Read(torch.cat(logits), {layer: torch.cat(parts) for layer, parts in acts.items()}, totals)

    def _moved(self, theirs: Tokens, read: _Read) -> _Read:
        """Activations of other prompts at each token of the base that has a counterpart there; else 0."""
        n_rows, n_pos = self.tokens.ids.shape
        moved = {layer: value.new_zeros(n_rows, n_pos, value.shape[-1]) for layer, value in read.acts.items()}
        for row in range(n_rows):
            ids, other = (t.ids[row, : t.lengths[row]].tolist() for t in (self.tokens, theirs))
            places = [(i, j) for i, j in enumerate(aligned(ids, other)) if j is not None]
            here, there = ([place[k] for place in places] for k in (0, 1))
            for layer, value in read.acts.items():
                moved[layer][row, here] = value[row, there]
        return replace(read, acts=moved)


def _columns(groups: Iterable[Group]) -> dict[int, set[int]]:
    """By layer the features of all groups."""
    found: dict[int, set[int]] = {}
    for group in groups:
        for layer, features in group.items():
            found.setdefault(layer, set()).update(features)
    return found


def _add(value: Tensor, current: Tensor) -> Tensor:
    return current + value.to(current.dtype)
