"""Heads and blocks: what a claim may say is part of a path, and which of them can be taken out."""

PARTS = ("attn_out", "mlp_out", "head")
TAKEN_OUT = ("mlp_out", "head")


def is_part(site: str) -> bool:
    """Whether a site, under its own name, is what a head or a block writes."""
    return _kind(site) in PARTS


def can_be_taken_out(site: str) -> bool:
    """Whether a subject can do without it: `patch` takes such nodes out."""
    return _kind(site) in TAKEN_OUT


def _kind(site: str) -> str:
    return site.split(".")[0]
