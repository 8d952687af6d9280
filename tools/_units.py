"""The parts of a model that are ablated one by one or in sets: neurons, heads, or what whole layers add."""

from collections.abc import Sequence
from typing import Literal

from ._subject import Subject

Level = Literal["neurons", "heads", "layers"]


class Units:
    """All units of one level, numbered from 0, layer by layer."""

    def __init__(self, subject: Subject, level: Level) -> None:
        shape = subject.shape
        self.level, self.n_layers = level, shape.n_layers
        self.per_layer = {"neurons": shape.d_mlp, "heads": shape.n_heads, "layers": 1}[level]

    def __len__(self) -> int:
        return self.n_layers * self.per_layer

    @property
    def sites(self) -> list[tuple[str, ...]]:
        """Where units live: the sites of each unit, or for neurons those of each layer's."""
        layers = range(self.n_layers)
        if self.level == "neurons":
            return [(f"mlp_act.{layer}",) for layer in layers]
        if self.level == "heads":
            return [(f"head.{layer}.{head}",) for layer in layers for head in range(self.per_layer)]
        return [(f"attn_out.{layer}", f"mlp_out.{layer}") for layer in layers]

    def layer(self, unit: int) -> int:
        """The layer of a unit."""
        return unit // self.per_layer

    def name(self, unit: int) -> str:
        """How a unit is written: LAYER/NEURON as in the dictionary `neurons`, or head.LAYER.HEAD, or layer.LAYER."""
        layer, index = divmod(unit, self.per_layer)
        return {"neurons": f"{layer}/{index}", "heads": f"head.{layer}.{index}", "layers": f"layer.{layer}"}[self.level]

    def columns(self, units: Sequence[int]) -> dict[str, list[int] | None]:
        """By site which of its dimensions belong to these units; none for all of them."""
        found: dict[str, list[int] | None] = {}
        for unit in units:
            layer, index = divmod(unit, self.per_layer)
            if self.level == "neurons":
                columns = found.setdefault(f"mlp_act.{layer}", [])
                assert columns is not None, "a layer's neurons are ablated by their columns"
                columns.append(index)
            else:
                found |= dict.fromkeys(self.sites[unit])
        return found
