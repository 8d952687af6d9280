"""What decides a dictionary, apart from the subject and the texts: its kind, its site, and the numbers of its training.

| kind | encoder | source |
| --- | --- | --- |
| `relu` | ReLU, kept sparse by an L1 penalty on the size of effects | Bricken et al. 2023, Conerly et al. 2024 |
| `topk` | the k largest of each token | Gao et al. 2024 |
| `batchtopk` | the k largest a token on average over a batch; a threshold once trained | Bussmann et al. 2024 |
| `jumprelu` | one threshold per feature, learned through an L0 penalty | Rajamanoharan et al. 2024 |
| `matryoshka` | `batchtopk` whose first features must do alone as well | Bussmann et al. 2025 |
| `mp` | matching pursuit: k times, the feature that fits the rest best; no biases | Costa et al. 2025 |
| `skip` | `topk` beside a linear map of the input | Paulo, Shabalin, Belrose 2025 |
| `cross-layer` | `topk` per layer, written to that layer and to all later ones | Ameisen et al. 2025 |
"""

from dataclasses import dataclass

from ._base import ToolError
from ._dictionary import Activation

LARGEST_SEED = 2**32 - 1
BATCH = 512  # tokens per training step
FEWEST_FEATURES = 8

SITES: dict[str, tuple[str, str]] = {
    "mlp": ("mlp_in", "mlp_out"),
    "mlp_out": ("mlp_out", "mlp_out"),
    "attn_out": ("attn_out", "attn_out"),
    "resid_post": ("resid_post", "resid_post"),
}
"""What a dictionary of each site reads and writes."""

_REBUILDING = ("mlp_out", "attn_out", "resid_post")


@dataclass(frozen=True)
class Kind:
    """How a kind trains, and how it reads once it is trained."""

    activation: Activation
    sites: tuple[str, ...] = (*SITES,)
    batchwise: bool = False
    nested: bool = False
    penalised: bool = False
    skips: bool = False
    crosses: bool = False


KINDS: dict[str, Kind] = {
    "relu": Kind("relu", penalised=True),
    "topk": Kind("topk"),
    "batchtopk": Kind("jumprelu", batchwise=True),
    "jumprelu": Kind("jumprelu", penalised=True),
    "matryoshka": Kind("jumprelu", batchwise=True, nested=True),
    "mp": Kind("mp", sites=_REBUILDING),
    "skip": Kind("topk", sites=("mlp",), skips=True),
    "cross-layer": Kind("topk", sites=("mlp",), crosses=True),
}


@dataclass(frozen=True)
class TranscoderRecipe:
    """What decides a dictionary, apart from the subject and the texts."""

    n_features: int = 512  # per layer
    k: int = 16  # features active per token: exactly, on average, or what the penalty is steered to
    steps: int = 2000  # of `BATCH` tokens each, per layer
    seed: int = 0
    kind: str = "topk"  # of `KINDS`
    site: str = "mlp"  # of `SITES`
    layers: tuple[int, ...] | None = None  # all, where none is named
    sparsity: float | None = None  # weight of the penalty; none steers it until k features are active
    buffer: int = 2**16  # tokens held at once, at each site that is read or written
    patience: int = 0  # evaluations without gain after which training stops; 0 trains to the end

    @property
    def rule(self) -> Kind:
        """What its kind means."""
        return KINDS[self.kind]

    @property
    def reads_at(self) -> str:
        """Site without a layer."""
        return SITES[self.site][0]

    @property
    def writes_at(self) -> str:
        """Site without a layer."""
        return SITES[self.site][1]

    def groups(self, n_layers: int) -> list[tuple[int, ...]]:
        """Layers that are trained together: each alone, or all of a cross-layer set."""
        layers = self.layers if self.layers is not None else (*range(n_layers),)
        return [layers] if self.rule.crosses else [(layer,) for layer in layers]


def check_recipe(recipe: TranscoderRecipe, n_layers: int | None = None) -> None:
    """Refuse what cannot be trained, before anything is computed.

    Args:
        n_layers: Of the subject, where it is loaded already.

    Raises:
        ToolError: an unknown kind or site, a site that the kind cannot rebuild, numbers that do not fit each other, or
            a layer that the subject lacks.
    """
    if recipe.kind not in KINDS:
        raise ToolError(f"`{recipe.kind}` is no kind of dictionary.", mend=f"Kinds: {', '.join(KINDS)}.")
    if recipe.site not in SITES:
        raise ToolError(f"`{recipe.site}` is no site of a dictionary.", mend=f"Sites: {', '.join(SITES)}.")
    if recipe.site not in recipe.rule.sites:
        raise ToolError(
            f"A dictionary of kind `{recipe.kind}` cannot be trained at `{recipe.site}`.",
            mend=f"Sites for this kind: {', '.join(recipe.rule.sites)}.",
        )
    _check_numbers(recipe)
    if n_layers is not None:
        _check_layers(recipe, n_layers)


def _check_numbers(recipe: TranscoderRecipe) -> None:
    if recipe.n_features < FEWEST_FEATURES:
        raise ToolError(
            f"{recipe.n_features} features are no dictionary.", mend=f"Train at least {FEWEST_FEATURES} a layer."
        )
    if not 1 <= recipe.k <= recipe.n_features:
        raise ToolError(
            f"{recipe.k} features are to be active, of {recipe.n_features}.",
            mend=f"Let 1..{recipe.n_features} be active, or train more features.",
        )
    if not 0 <= recipe.seed <= LARGEST_SEED:
        raise ToolError(f"{recipe.seed} is no seed.", mend=f"Give 0..{LARGEST_SEED}.")
    if recipe.steps < 1 or recipe.patience < 0:
        raise ToolError(
            f"{recipe.steps} steps and a patience of {recipe.patience} train nothing.",
            mend="Give at least 1 step, and a patience of 0 or more.",
        )
    if recipe.buffer < BATCH:
        raise ToolError(f"A buffer of {recipe.buffer} tokens is too small.", mend=f"Hold at least {BATCH}.")
    if recipe.sparsity is not None and not recipe.rule.penalised:
        penalised = ", ".join(name for name, kind in KINDS.items() if kind.penalised)
        raise ToolError(
            f"A dictionary of kind `{recipe.kind}` has no penalty to weigh.",
            mend=f"Say how many features are active instead; only {penalised} take a weight.",
        )
    if recipe.sparsity is not None and not recipe.sparsity > 0:
        raise ToolError(f"A penalty cannot weigh {recipe.sparsity}.", mend="Give a number above 0.")


def _check_layers(recipe: TranscoderRecipe, n_layers: int) -> None:
    if recipe.layers is None:
        return
    if recipe.rule.crosses:
        raise ToolError("A cross-layer set has every layer.", mend="Name no layer for this kind.")
    wrong = [layer for layer in recipe.layers if not 0 <= layer < n_layers]
    if wrong:
        raise ToolError(f"Layer {wrong[0]} is out of range.", mend=f"Layers: 0..{n_layers - 1}.")
    if not recipe.layers or list(recipe.layers) != sorted({*recipe.layers}):
        raise ToolError(f"Layers {list(recipe.layers)} are no ascending list.", mend="Name each layer once, in order.")
