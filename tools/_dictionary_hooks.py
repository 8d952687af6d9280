"""What other libraries call the places that a dictionary reads and writes, in our names.

TransformerLens names are written after `blocks.L.`; circuit-tracer leaves that prefix out; Gemma Scope 2 and SAELens
with a Hugging Face model name the module. Three of them are no site of ours as they stand:

- `ln2.hook_normalized` is the MLP's input divided by the norm's denominator, before its weight and bias.
- `mlp.hook_out` is what the MLP itself returns, before a norm that some families put behind it.
- `hook_mlp_in` is the stream before the norm in TransformerLens, and the MLP's input in other people's
  configurations, so it is refused: the two differ by a norm, and nothing in a file tells which was meant.
"""

import re
from dataclasses import dataclass
from typing import Literal

from ._base import ToolError

Bend = Literal["before_gain", "before_post_norm"]


@dataclass(frozen=True)
class Hook:
    """A place by our name, and in which way the value there differs from what we call so."""

    site: str
    layer: int | None  # none where the name leaves it out
    bend: Bend | None = None


_TRANSFORMER_LENS: dict[str, tuple[str, Bend | None]] = {
    "hook_resid_pre": ("resid_pre", None),
    "hook_resid_mid": ("resid_mid", None),
    "hook_resid_post": ("resid_post", None),
    "hook_attn_out": ("attn_out", None),
    "hook_mlp_out": ("mlp_out", None),
    "mlp.hook_in": ("mlp_in", None),
    "mlp.hook_out": ("mlp_out", "before_post_norm"),
    "ln2.hook_normalized": ("mlp_in", "before_gain"),
}
_MODULES = {
    "": "resid_post",
    "output": "resid_post",
    "pre_feedforward_layernorm.output": "mlp_in",
    "post_feedforward_layernorm.output": "mlp_out",
}
_BLOCK = r"(?:model|language_model|model\.language_model|transformer|gpt_neox)\.(?:layers|h)\.(\d+)\.?(.*)"


def parse_hook(name: str) -> Hook:
    """The place of that name.

    Raises:
        ToolError: none that a dictionary can read or write here.
    """
    if found := re.fullmatch(r"(?:blocks\.(\d+)\.)?(.+)", name.strip()):
        layer, place = found[1], found[2]
        if place in _TRANSFORMER_LENS:
            return Hook(_TRANSFORMER_LENS[place][0], None if layer is None else int(layer), _TRANSFORMER_LENS[place][1])
    if (found := re.fullmatch(_BLOCK, name.strip())) and found[2] in _MODULES:
        return Hook(_MODULES[found[2]], int(found[1]))
    if name.strip().endswith("hook_mlp_in"):
        raise ToolError(
            f"`{name}` is ambiguous: the stream before the norm in TransformerLens, the MLP's input elsewhere.",
            mend="Write hook_resid_mid or mlp.hook_in in the dictionary's configuration, whichever it was trained on.",
        )
    raise ToolError(
        f"A dictionary at `{name}` cannot be used here.",
        mend=f"These can: {', '.join(_TRANSFORMER_LENS)}; per block, and as wide as the residual stream.",
    )
