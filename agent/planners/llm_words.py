"""A language model's own words where a reader meets them: in quotation marks, and without its figures.

A report's figures are measured, each with an id. Whatever a planner writes as a reason may hold others, made up or
copied; they are left out, so that none can be taken for one of these. Names of sites keep their numbers.
"""

import re
import unicodedata

LEFT_OUT = "#"
_SITE = re.compile(
    r"\b(?:(?:resid_pre|resid_mid|resid_post|attn_out|mlp_in|mlp_out)\.[0-9]{1,3}|head\.[0-9]{1,3}\.[0-9]{1,3})"
    r"(?![\w.,%]*[0-9%])"
)
_BETWEEN = ".,:/·٫٬ "  # inside a figure
_MARKS = str.maketrans({"`": "'", '"': "'", "“": "'", "”": "'"})  # no quotation ends early, and no name begins in one


def quoted(text: str) -> str:
    """The words as a quotation."""
    return f"“{without_figures(text).translate(_MARKS)}”"


def without_figures(text: str) -> str:
    """The words, every figure left out but those of the names of sites."""
    found, end = "", 0
    for site in _SITE.finditer(text):
        found += _left_out(text[end : site.start()]) + site[0]
        end = site.end()
    return found + _left_out(text[end:])


def _left_out(text: str) -> str:
    marked = "".join("\0" if unicodedata.category(one).startswith("N") else one for one in text)
    return re.sub(f"\0(?:[{re.escape(_BETWEEN)}]*\0)*", LEFT_OUT, marked)
