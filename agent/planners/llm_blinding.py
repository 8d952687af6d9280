"""What is hidden from a language model that plans, so that neither hope nor hearsay can choose for it.

* arms: of every place that it patches it is shown two effects, A and B, in an order drawn from the seed. One is the
  place's, the other the mean of random changes of equal size there. Nothing else of the measurement is shown.
* names: layers, and the heads of each layer, go by numbers drawn from the seed, in all that it is shown; what it calls
  is put back before it is checked. So what it has read of a model's circuits does not tell it where to look. Only
  instruments whose results name places as sites can be used then: others would tell a place by its order.

Which is which goes into the ledger once its predictions are sealed. All is a function of the seed and of what was
measured, so that a run that is taken up again hides the same.
"""

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any, Literal

from ...tools import Measurement, ToolError, parse_site

Blind = Literal["off", "arms", "names", "both"]
DRAWS = 5  # random changes at every place whose effect is to be hidden among them
DIGITS = 3
# Measurements that show no effect at all, or the effect of a place beside random ones.
WITH_ARMS = frozenset(
    {"patch", "next_token", "substitutions", "logit_lens", "feature_activations", "describe_feature", "make_probes"}
)
# Measurements that name no place, or name it as a site and in the order in which it was asked for.
WITH_NAMES = frozenset({"patch", "next_token", "substitutions"})
_SITE = re.compile(
    r"\b(resid_pre|resid_mid|resid_post|attn_out|mlp_in|mlp_act|mlp_out|pattern|head|q|k|v)\.(\d{1,5})(?:\.(\d{1,5}))?\b"
)
ARMS_RULE = """
For every place that you patch you get two effects, A and B. One is of what you asked for, the other the mean of random
changes of equal size at the same place; their order means nothing. Which is which is told after sealing."""
NAMES_RULE = """
Layers, and the heads of a layer, are numbered in an order that means nothing: number 1 need not follow number 0. What
you know of where such models do things does not help; measure."""
TOLD: dict[Blind, str] = {
    "off": "",
    "arms": "which of two effects was the place's, and which a random control's",
    "names": "which layer and which head was which",
    "both": "which of two effects was the place's and which a random control's, and which layer and head was which",
}


@dataclass(frozen=True)
class Blinding:
    """What is hidden in one run.

    Args:
        kind: what.
        seed: of every draw.
        n_layers: of the subject.
        n_heads: of each of its layers.
    """

    kind: Blind = "off"
    seed: int = 0
    n_layers: int = 0
    n_heads: int = 0

    @property
    def of_arms(self) -> bool:
        """Whether effects are hidden among controls."""
        return self.kind in ("arms", "both")

    @property
    def of_names(self) -> bool:
        """Whether places go by other names."""
        return self.kind in ("names", "both")

    @property
    def rules(self) -> str:
        """What the language model is told of it."""
        return (ARMS_RULE if self.of_arms else "") + (NAMES_RULE if self.of_names else "")

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The number that each layer goes by."""
        return self._drawn(self.n_layers, "layers")

    @cached_property
    def heads(self) -> tuple[tuple[int, ...], ...]:
        """The number that each head goes by, for each layer."""
        return tuple(self._drawn(self.n_heads, f"heads {layer}") for layer in range(self.n_layers))

    def allows(self, tool: str) -> bool:
        """Whether an instrument can be used."""
        return (not self.of_arms or tool in WITH_ARMS) and (not self.of_names or tool in WITH_NAMES)

    def refuse(self, tool: str) -> None:
        """Stop where an instrument would show what is hidden.

        Raises:
            ToolError: it would; says which would not.
        """
        if not self.allows(tool):
            fit = WITH_NAMES if self.of_names else WITH_ARMS
            raise ToolError(f"`{tool}` would show what is hidden from you.", mend=f"Use {', '.join(sorted(fit))}.")

    def true_args(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call with the names that places have, and with the random changes that hide its effect.

        Raises:
            ToolError: they name features, whose layers cannot be hidden.
        """
        found = dict(args)
        for field in ("sites", "without"):
            if self.of_names and isinstance(sites := found.get(field), list):
                if any(isinstance(site, str) and "/" in site for site in sites):
                    raise ToolError("Features are named by their layers, which are hidden.", mend="Name sites alone.")
                found[field] = [self.true_site(site) if isinstance(site, str) else site for site in sites]
        if self.of_arms and isinstance(found.get("sites"), list):
            found["random_draws"] = DRAWS
        return found

    def true_site(self, name: str) -> str:
        """The name that a place has, of the one that it goes by; what is no name of any place stays as it is."""
        if not self.of_names:
            return name
        try:
            site = parse_site(name, self.n_layers, self.n_heads, self.n_heads)
        except ToolError:
            return name
        if site.layer is None:
            return name
        layer = self.layers.index(site.layer)
        head = self.heads[layer].index(site.head) if site.head is not None and site.kind in ("head", "q") else site.head
        return ".".join(str(part) for part in (site.kind, layer, head) if part is not None)

    def named(self, text: str) -> str:
        """A text with the names that places go by."""
        return _SITE.sub(self._renamed, text) if self.of_names else text

    def messages(self, messages: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
        """A conversation with these names; the language model's own words have them already."""
        return tuple(
            one if one["role"] == "assistant" else {**one, "content": self.named(one["content"])} for one in messages
        )

    def shown(self, measurement: Measurement, most: int) -> str | None:
        """The two effects of every place, as JSON text; none where a measurement has nothing to hide."""
        if not self.of_arms or not _has_effects(measurement):
            return None
        if not _has_arms(measurement):
            return json.dumps({"id": measurement.id, "effects": "hidden: no random change ran beside them"})
        cells = measurement.result["cells"]
        largest = sorted(cells, key=lambda cell: -max(map(abs, _arms(cell))))[:most]
        places = []
        for cell in cells:
            if any(cell is one for one in largest):
                asked, random_mean = (float(f"{effect:.{DIGITS}g}") for effect in _arms(cell))
                a, b = (asked, random_mean) if self.first(measurement.id, cell) == "A" else (random_mean, asked)
                places.append({"site": cell["site"], "position": cell["position"], "A": a, "B": b})
        told: dict[str, Any] = {"id": measurement.id, "effects": places}
        if left := len(cells) - len(places):
            told["left_out"] = f"{left} of smallest effect"
        return json.dumps(told, ensure_ascii=False)

    def first(self, measurement: str, cell: Mapping[str, Any]) -> Literal["A", "B"]:
        """Under which letter the effect of the place itself is shown."""
        asked = f"{self.seed} {measurement} {cell['site']} {cell['position']}"
        return "A" if hashlib.sha256(asked.encode()).digest()[0] % 2 == 0 else "B"

    def key(self, measurements: Sequence[Measurement]) -> dict[str, Any]:
        """Which was which, for the ledger."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.of_names:
            found |= {"layers": list(self.layers), "heads": [list(one) for one in self.heads]}
        if self.of_arms:
            found["place_is"] = {
                m.id: {f"{cell['site']} at {cell['position']}": self.first(m.id, cell) for cell in m.result["cells"]}
                for m in measurements
                if _has_arms(m)
            }
        return found

    def _drawn(self, n: int, what: str) -> tuple[int, ...]:
        numbers = list(range(n))
        random.Random(f"{self.seed} {what}").shuffle(numbers)
        return tuple(numbers)

    def _renamed(self, found: re.Match[str]) -> str:
        kind, layer, head = found[1], int(found[2]), found[3]
        if layer >= self.n_layers or (head is not None and int(head) >= self.n_heads):
            return found[0]
        number = head if head is None or kind not in ("head", "q") else str(self.heads[layer][int(head)])
        return ".".join(part for part in (kind, str(self.layers[layer]), number) if part is not None)


def _has_effects(measurement: Measurement) -> bool:
    return any("effect" in cell for cell in measurement.result.get("cells", ()))


def _has_arms(measurement: Measurement) -> bool:
    cells = measurement.result.get("cells", ())
    return bool(cells) and all(cell.get("random_effects") for cell in cells)


def _arms(cell: Mapping[str, Any]) -> tuple[float, float]:
    """The effect of a place, and the mean of the random changes there."""
    return cell["effect"], fmean(cell["random_effects"])
