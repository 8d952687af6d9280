"""How wide a site is."""

from ._sites import PER_HEAD, Site
from ._subject import Subject


def width_of(subject: Subject, site: Site) -> int:
    """Numbers that the site has at each token (count)."""
    shape = subject.shape
    return shape.d_head if site.kind in PER_HEAD else shape.d_mlp if site.kind == "mlp_act" else shape.d_model
