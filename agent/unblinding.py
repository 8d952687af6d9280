"""Writes down what was hidden from a planner, once it can change nothing any more."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .asking import planning_model
from .planners.llm_blinding import Blinding

if TYPE_CHECKING:
    from .desk import Desk

KEY = "unblinded"


def unblind(desk: "Desk", state: Mapping[str, Any]) -> None:
    """Note in the ledger which effect was whose, and which place went by which name; nothing where none was hidden."""
    info = desk.folder.info
    blind = info.planned.blind
    if blind == "off" or not planning_model(info):
        return
    seen = [desk.folder.measurement(found) for _, found in state["done"]]
    blinding = Blinding(blind, desk.seed, desk.card.n_layers, desk.card.n_heads)
    desk.ledger.append(KEY, "note", {KEY: blinding.key(seen)})
