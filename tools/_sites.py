"""Names of places in a subject: one vocabulary for every architecture.

| site | shape per prompt | meaning |
| --- | --- | --- |
| `embed` | pos, d_model | token embedding, scaled where the family scales it, before positions are added |
| `resid_pre.L`, `resid_mid.L`, `resid_post.L` | pos, d_model | residual stream before, inside and after block L |
| `attn_out.L`, `mlp_out.L` | pos, d_model | what attention and MLP of block L add to the stream, behind any norm |
| `q.L.H` | pos, d_head | query of head H as its matrix gives it: before any norm of queries, and before rotation |
| `k.L.G`, `v.L.G` | pos, d_head | key before any norm and rotation, and value; G counts heads of keys and values |
| `head.L.H` | pos, d_head | output of head H before its output matrix |
| `mlp_in.L` | pos, d_model | input of the MLP, after its norm |
| `mlp_act.L` | pos, d_mlp | neurons: input of the MLP's last matrix |
| `pattern.L` | head, pos, pos | attention probabilities; read only |

Where heads share keys and values (grouped queries), G is fewer than H: heads that share one are neighbours.

A head's output times its output matrix is its part of attention's sum. Where a norm stands behind attention (Gemma),
the sum of all heads goes through it: what a head adds to the stream is its part times the norm's weight over the norm's
denominator, which all heads share. Writing a head moves that denominator too, so it also rescales what the others add;
their own sites keep their values.

Names of TransformerLens (`blocks.3.hook_resid_post`, `blocks.3.attn.hook_z` with a head), `mlp.hook_in` of
circuit-tracer and names of MIB (`m3`, `a3.h5`, `input`) are accepted; the canonical name is printed. `hook_mlp_in` is
refused: in TransformerLens it is the MLP's own copy of the stream in front of its norm, where no site of ours stands.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from ._base import ToolError

SiteKind = Literal[
    "embed",
    "resid_pre",
    "resid_mid",
    "resid_post",
    "attn_out",
    "mlp_in",
    "mlp_act",
    "mlp_out",
    "q",
    "k",
    "v",
    "head",
    "pattern",
]
PER_HEAD = ("head", "q", "k", "v")
KINDS: tuple[str, ...] = get_args(SiteKind)

_FOREIGN = (
    (r"input|hook_embed", r"embed"),
    (r"m(\d+)", r"mlp_out.\1"),
    (r"a(\d+)\.h(\d+)", r"head.\1.\2"),
    (r"a(\d+)", r"attn_out.\1"),
    (r"blocks\.(\d+)\.hook_(resid_pre|resid_mid|resid_post|attn_out|mlp_out)", r"\2.\1"),
    (r"blocks\.(\d+)\.mlp\.hook_in", r"mlp_in.\1"),
    (r"blocks\.(\d+)\.mlp\.hook_post", r"mlp_act.\1"),
    (r"blocks\.(\d+)\.attn\.hook_pattern", r"pattern.\1"),
    (r"blocks\.(\d+)\.attn\.hook_(?:z|result)\.(\d+)", r"head.\1.\2"),
    (r"blocks\.(\d+)\.attn\.hook_([qkv])\.(\d+)", r"\2.\1.\3"),
)
_IN_FRONT_OF_THE_NORM = re.compile(r"blocks\.(\d+)\.hook_mlp_in")


@dataclass(frozen=True)
class Site:
    """A named place; `layer` and `head` are absent where the kind has none."""

    kind: SiteKind
    layer: int | None = None
    head: int | None = None

    def __str__(self) -> str:
        return ".".join(str(part) for part in (self.kind, self.layer, self.head) if part is not None)


def parse_site(name: str, n_layers: int, n_heads: int, n_kv_heads: int) -> Site:
    """The site of that name in a subject of that size.

    Raises:
        ToolError: no such kind, or a layer or head out of range.
    """
    canonical = name.strip()
    if found := _IN_FRONT_OF_THE_NORM.fullmatch(canonical):
        raise ToolError(
            f"`{name}` is what the MLP reads before its norm, which is no site.",
            mend=f"Use `mlp_in.{found[1]}` for what the norm makes of it, or `resid_mid.{found[1]}` for the stream it "
            f"is a copy of (`resid_pre.{found[1]}` where attention and MLP run in parallel).",
        )
    for pattern, replacement in _FOREIGN:
        if re.fullmatch(pattern, canonical):
            canonical = re.sub(pattern, replacement, canonical)
    kind, *numbers = canonical.split(".")
    if kind not in KINDS or not all(re.fullmatch(r"\d{1,9}", number) for number in numbers):
        raise ToolError(f"`{name}` names no site.", mend=f"Sites: {', '.join(_spelling(k) for k in KINDS)}.")
    due = _spelling(kind).count(".")
    if len(numbers) != due:
        raise ToolError(f"Site `{name}` has {len(numbers)} numbers.", mend=f"Write it as `{_spelling(kind)}`.")
    layer, head, *_ = (*map(int, numbers), None, None)
    if layer is not None and layer >= n_layers:
        raise ToolError(f"Site `{name}`: layer {layer} is out of range.", mend=f"Layers: 0..{n_layers - 1}.")
    n_due = n_kv_heads if kind in ("k", "v") else n_heads
    if head is not None and head >= n_due:
        of = " of keys and values" if n_due < n_heads else ""
        raise ToolError(f"Site `{name}`: head {head} is out of range.", mend=f"Heads{of}: 0..{n_due - 1}.")
    return Site(kind, layer, head)  # pyright: ignore[reportArgumentType]  # `kind in KINDS` was checked


def refuse_read_only(sites: Iterable[Site]) -> None:
    """Raise a `ToolError` where a site can be read but not written."""
    if any(site.kind == "pattern" for site in sites):
        raise ToolError("Attention patterns can be read, not written.", mend="Write head outputs instead.")


def _spelling(kind: str) -> str:
    return kind if kind == "embed" else f"{kind}.LAYER.HEAD" if kind in PER_HEAD else f"{kind}.LAYER"
