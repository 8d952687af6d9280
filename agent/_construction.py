"""Patches whose outcome is known without a model: where they write, nothing else is left that could matter.

Under causal attention nothing before the first differing token differs, so taking the stream from there on to the end
*is* running the other prompt, at any layer of any model. So is taking the embeddings. After the last block the stream
at the last token is the answer, and elsewhere nothing reads it.
"""

from typing import TYPE_CHECKING, Any

from ..tools import differing_positions, token_positions

if TYPE_CHECKING:
    from ..tools import Subject

EMBEDDINGS = ("embed", "resid_pre.0")


def by_construction(subject: "Subject", args: dict[str, Any]) -> str:
    """Why a patch at one place is bound to come out as it does; nothing where it is not.

    Args:
        args: of the tool `patch`, defaults filled in, with one site and one position.

    Raises:
        ToolError: the subject has no such site, or cannot read a prompt.
    """
    (name,), (position,) = args["sites"], args["positions"]
    site = subject.site(name)
    if site.kind == "resid_post" and site.layer == subject.shape.n_layers - 1:
        return f"`{site}` is the answer itself at the last token, and read by nothing elsewhere"
    if args["value"] != "source":
        return ""
    if str(site) in EMBEDDINGS:
        return f"another prompt's `{site}` is that prompt itself, in any model"
    if site.kind.startswith("resid"):
        for pair in args["pairs"]:
            if _all_that_differs(subject, pair, position):
                return f"in {pair['base']!r} nothing that differs is left outside, so the patch is the other prompt"
    return ""


def _all_that_differs(subject: "Subject", pair: dict[str, Any], position: str) -> bool:
    """Whether the places written are all from the first differing token on."""
    base = subject.reader.split(pair["base"]).ids
    donor = subject.reader.split(pair["source"] or pair["corrupted"]).ids
    same = next((i for i, (a, b) in enumerate(zip(base, donor, strict=False)) if a != b), min(len(base), len(donor)))
    if position == "differs":
        places = differing_positions(subject, pair["base"], pair["corrupted"])
    else:
        places = token_positions(subject, pair["base"], position, pair["base_entity"])
    return {*range(same, len(base))} <= {*places}
