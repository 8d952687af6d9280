"""That a head or a block plays no part: said only where a search looked for it with other parts taken out, too.

A part that stands in for another moves nothing while that one works, and neither does what it stands in for, as long
as it can take over. So what patching one place does not show is no reason to say that nothing is there: a circuit
search with nodes taken out has to have looked, and to have listed no link that the part writes (McGrath et al. 2023).
"""

from collections.abc import Sequence

from ..tools import Measurement
from ._evidence import Arm
from ._parts import is_part

SEARCH = "circuit_search"


def unsearched(arm: Arm, explored: Sequence[Measurement]) -> str:
    """Why nothing may be said of a part's absence; empty where it may, and for what is no part.

    Args:
        arm: of the tool `patch`, with one place under its own name.
        explored: everything measured so far.
    """
    (site,) = arm.args["sites"]
    if not is_part(site):
        return ""
    searches = [m for m in explored if _looks_behind_others(m)]
    if not searches:
        return f"`{SEARCH}` with `backups` has not looked for what stands in for others, so `{site}` may be a backup"
    for search in searches:
        links = search.result["links"]
        if sum(link["in_circuit"] for link in links) < search.result["n_circuit"]:
            return f"{search.id} lists too few of its links to tell that `{site}` writes none of them"
        for link in links:
            if link["in_circuit"] and _is_of(link["source"], site):
                out = f", with {', '.join(link['without'])} taken out" if link["without"] else ""
                return f"{search.id} has `{link['source']}` in the circuit{out}"
    return ""


def _is_of(node: str, site: str) -> bool:
    """Whether a node is the site, or one of the heads of its block."""
    kind, layer, *_ = site.split(".")
    return node.startswith(f"head.{layer}.") if kind == "attn_out" else node == site


def _looks_behind_others(m: Measurement) -> bool:
    asked = m.args
    return m.tool == SEARCH and m.subject.reinit_seed is None and asked["backups"] and asked["method"] != "greedy"
