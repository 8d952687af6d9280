"""How the weights of two models differ, group by group: how much, how much alike, and of how low a rank.

A rank says what kind of training made a difference: LoRA (Hu et al. 2021) leaves one of at most its own rank in each
matrix, a rank-one edit (ROME; Meng et al. 2022) one of rank 1, ordinary training one that is spread out. Rounding to
the stored type adds a little of every rank, so what is counted is the fewest singular values that hold 99 % of the
energy. All is worked out in double precision.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...tools import Progress, Subject, silent
from .results import GroupChange, TokenChange, WeightsCompared

MOST_TOKENS = 10
HELD = 0.99  # share of the energy
NAMED = 6  # groups in a sentence
NOTHING = 1e-30
GROUPS_OF_A_BLOCK, OTHER_GROUPS = 7, 3
MAY_DIFFER = ("n_vocab", "n_ctx")  # sizes that leave all other weights comparable
OF_WORDS = ("embedding", "unembedding")
# Of a configuration: names and versions, element types, and sizes that are told as sizes.
SAYS_NOTHING = (
    *("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"),
    *("vocab_size", "max_position_embeddings", "n_positions", "n_ctx"),
)


def compared_weights(a: Subject, b: Subject, progress: Progress = silent) -> WeightsCompared:
    """What changed from A to B."""
    same_words = a.tokenizer.get_vocab() == b.tokenizer.get_vocab()
    sizes = tuple(
        f"{name}: {was} in A, {now} in B"
        for (name, was), now in zip(vars(a.shape).items(), vars(b.shape).values(), strict=True)
        if was != now
    )
    same = type(a.architecture) is type(b.architecture)
    if not same or any(size.split(":")[0] not in MAY_DIFFER for size in sizes):
        families = "" if same else f"Their families differ: {_family(a)} and {_family(b)}. "
        told = f"{families}{'; '.join(sizes)}".strip(" ;") + ". Weights of other shapes cannot be compared."
        return WeightsCompared(same_vocabulary=same_words, sizes=sizes, told=told)
    return _of_one_shape(a, b, sizes, same_words, progress)


def _of_one_shape(
    a: Subject, b: Subject, sizes: Sequence[str], same_words: bool, progress: Progress
) -> WeightsCompared:
    rows = None if same_words and a.shape.n_vocab == b.shape.n_vocab else _rows(a, b)
    found: list[GroupChange] = []
    equal: list[str] = []
    other: list[str] = []
    settings = _settings(a, b)
    tied = _ties(a) and _ties(b)
    for done, ((name, ours), (_, theirs)) in enumerate(zip(groups_of(a, tied), groups_of(b, tied), strict=True)):
        progress(done, GROUPS_OF_A_BLOCK * a.shape.n_layers + OTHER_GROUPS, f"weights: {name}")
        if rows is not None and name in OF_WORDS:
            of_words = 0 if name == "embedding" else 1
            ours, theirs = (
                [one.index_select(of_words, kept.to(one.device)) for one in side]
                for side, kept in zip((ours, theirs), rows, strict=True)
            )
        if [one.shape for one in ours] != [one.shape for one in theirs]:  # a bias that one of them lacks, say
            other.append(f"{name}: tensors of other shapes")
            continue
        change = change_of(name, *_there(ours, theirs))
        if change.changed:
            found.append(change)
        else:
            equal.append(name)
    unnamed = () if found or other or rows is not None else _unnamed(a, b)
    found.sort(key=lambda one: (-one.relative, one.group))
    tokens, n_tokens = _tokens(a, b) if same_words else ((), 0)
    told = _told(found, equal, [*other, *unnamed]), *_beside(sizes, settings, same_words, rows)
    return WeightsCompared(
        same_architecture=not sizes,
        same_vocabulary=same_words,
        identical=not found and not unnamed and not other and not sizes and same_words,
        sizes=(*sizes, *other),
        settings=settings,
        groups=tuple(found),
        unchanged=tuple(equal),
        tokens=tokens,
        n_tokens=n_tokens,
        told=" ".join(filter(None, told)),
    )


def _beside(
    sizes: Sequence[str], settings: Sequence[str], same_words: bool, rows: tuple[Tensor, Tensor] | None
) -> Iterator[str]:
    """What differs beside the weights, in words."""
    if sizes:
        yield f"Sizes differ: {'; '.join(sizes)}."
    if not same_words:
        yield "The vocabularies differ."
    if rows is not None:
        yield f"Embeddings are compared token by token, of the {len(rows[0])} that both have."
    if settings:
        yield f"The configurations differ: {'; '.join(settings)}."


def _there(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The matrix and what else is anything in either: a bias of zeros may be one that the family does without."""
    kept = [i for i, pair in enumerate(zip(ours, theirs, strict=True)) if i == 0 or any(one.any() for one in pair)]
    return [ours[i] for i in kept], [theirs[i] for i in kept]


def _rows(a: Subject, b: Subject) -> tuple[Tensor, Tensor]:
    """Rows of A's and of B's embedding for every token that both have."""
    ours, theirs = a.tokenizer.get_vocab(), b.tokenizer.get_vocab()
    shared = sorted((i, theirs[token]) for token, i in ours.items() if token in theirs)
    return torch.tensor([i for i, _ in shared]), torch.tensor([i for _, i in shared])


def _settings(a: Subject, b: Subject) -> tuple[str, ...]:
    """What the configurations say otherwise, but sizes, which are told as such: an activation, say, or a scale."""
    ours, theirs = (one.model.config.to_dict() for one in (a, b))
    names = [n for n in {**ours, **theirs} if n not in SAYS_NOTHING and ours.get(n) != theirs.get(n)]
    return tuple(f"{name}: {ours.get(name)!r} in A, {theirs.get(name)!r} in B" for name in names)


def groups_of(subject: Subject, tied: bool) -> Iterator[tuple[str, list[Tensor]]]:
    """Every weight of a subject, group by group, under names that need no knowledge of its family.

    The first tensor of a group is its matrix. Made as they are asked for, since some are copies.

    Args:
        tied: leave the unembedding out, which is the embedding.
    """
    architecture, shared = subject.architecture, subject.shared_by
    yield "embedding", [subject.model.get_input_embeddings().weight]
    if (positions := architecture.positions()) is not None:
        yield "positions", [positions]
    for layer, modules in enumerate(architecture.blocks()):
        block, looks = subject.weights(layer), architecture.looks(layer)
        # Heads that share keys and values have a copy each here, which would count twice.
        yield f"queries of block {layer}", [_side_by_side(looks.W_Q), looks.b_Q]
        yield f"keys of block {layer}", [_side_by_side(looks.W_K[::shared]), looks.b_K[::shared]]
        yield f"values of block {layer}", [_side_by_side(block.W_V[::shared]), block.b_V[::shared]]
        yield f"attention out of block {layer}", [block.W_O.flatten(0, 1), block.b_O]
        yield f"mlp in of block {layer}", _into(modules.mlp, modules.mlp_output)
        yield f"mlp out of block {layer}", [block.W_down, block.b_down]
        norms = (block.norm1, block.norm2, block.post_attention, block.post_mlp, looks.query_norm, looks.key_norm)
        yield f"norms of block {layer}", _of_norms(norms)
    yield "final norm", _of_norms([subject.final_norm])
    if not tied:
        yield "unembedding", [subject.W_U]


def _ties(subject: Subject) -> bool:
    return subject.model.get_output_embeddings().weight is subject.model.get_input_embeddings().weight


def _of_norms(norms: Iterable[Any]) -> list[Tensor]:
    both = (tensor for norm in norms if norm is not None for tensor in (norm.weight, norm.bias))
    return [tensor for tensor in both if tensor is not None]


def _unnamed(a: Subject, b: Subject) -> tuple[str, ...]:
    """Weights that differ though no group does: none of a family that is fully known, and never passed over."""
    theirs = b.model.state_dict()
    return tuple(name for name, one in a.model.state_dict().items() if not torch.equal(one.cpu(), theirs[name].cpu()))


def _side_by_side(W: Float[Tensor, "head d_model d_head"]) -> Float[Tensor, "d_model _"]:
    """All heads of a matrix beside each other."""
    return W.transpose(0, 1).flatten(1, 2)


def _into(mlp: nn.Module, out: nn.Module) -> list[Tensor]:
    """What stands before the neurons; gate and input of a gated MLP side by side, as one matrix."""
    last = set(map(id, out.parameters()))
    matrices: list[Tensor] = [p for p in mlp.parameters() if id(p) not in last and p.dim() == 2]
    rest: list[Tensor] = [p for p in mlp.parameters() if id(p) not in last and p.dim() != 2]
    return [*([torch.cat(matrices, 0)] if matrices else []), *rest]


def change_of(name: str, a: Sequence[Tensor], b: Sequence[Tensor]) -> GroupChange:
    """How a group differs; the first tensor of either side is its matrix."""
    was, now = (torch.cat([part.detach().flatten() for part in side]).cpu() for side in (a, b))
    changed = (was != now).double().mean().item()
    if not changed:
        return GroupChange(group=name, entries=len(was), changed=0.0, relative=0.0, cosine=1.0, **Spread()._asdict())
    was, now = was.double(), now.double()
    size, other = was.norm().item(), now.norm().item()
    moved = (now - was).norm().item()
    delta = b[0].detach().double().cpu() - a[0].detach().double().cpu()
    return GroupChange(
        group=name,
        entries=len(was),
        changed=changed,
        relative=moved / max(size, NOTHING),
        cosine=(was @ now).item() / (size * other) if size and other else None,
        **(rank_of(delta) if delta.dim() == 2 and delta.any() else Spread())._asdict(),
    )


class Spread(NamedTuple):
    """How the energy of a matrix lies in its singular values; nothing of a group without a matrix."""

    stable_rank: float | None = None
    rank_99: int | None = None
    top_1: float | None = None
    top_8: float | None = None


def rank_of(delta: Float[Tensor, "_ _"]) -> Spread:
    """How a matrix's energy, which is its squared Frobenius norm, is spread over its singular values."""
    small = delta if delta.shape[0] <= delta.shape[1] else delta.T
    # The squares of the singular values, from the smaller of the two products: a vocabulary has many rows.
    energy = torch.linalg.eigvalsh(small @ small.T).clamp(min=0).flip(0)
    shares = energy / energy.sum()
    reached = shares.cumsum(0)
    return Spread(
        stable_rank=1 / shares[0].item(),
        rank_99=int((reached < HELD).sum().item()) + 1,
        top_1=shares[0].item(),
        top_8=min(1.0, reached[min(7, len(reached) - 1)].item()),
    )


def _tokens(a: Subject, b: Subject) -> tuple[tuple[TokenChange, ...], int]:
    """Tokens whose embeddings differ, the most changed first, and how many there are."""
    was, now = (one.model.get_input_embeddings().weight.detach().double().cpu() for one in (a, b))
    if was.shape != now.shape:
        return (), 0
    sizes = (now - was).norm(dim=1) / was.norm(dim=1).clamp(min=NOTHING)
    order = sizes.argsort(descending=True, stable=True)
    n_changed = int((sizes > 0).sum().item())
    known = set(a.tokenizer.get_vocab().values())
    ids = list(islice((i for i in order[:n_changed].tolist() if i in known), MOST_TOKENS))
    texts = a.token_strings(ids)
    rows = [TokenChange(token=text, id=i, relative=sizes[i].item()) for i, text in zip(ids, texts, strict=True)]
    return tuple(rows), n_changed


def _told(found: list[GroupChange], equal: list[str], unnamed: Sequence[str]) -> str:
    words = ""
    if unnamed:
        words = f" Not compared group by group: {', '.join(unnamed[:NAMED])}."
        if not found:
            return words.strip()
    if not found:
        return f"All weights are equal to the last bit.{words}"
    names = [one.group for one in found]
    if len(equal) == 0:
        return f"Every group of weights differs, the most in {names[0]}.{words}"
    more = f" and {len(names) - NAMED} groups more" if len(names) > NAMED else ""
    return f"Changed: {', '.join(names[:NAMED])}{more}; all else is equal to the last bit.{words}"


def _family(subject: Subject) -> str:
    return str(subject.model.config.model_type)
