"""A planner's words are shown as a quotation, and none of its figures is shown at all."""

import pytest
from hypothesis import given, strategies as st
from vesalius.agent.planners.llm_words import quoted, without_figures


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("effect 0.97", "effect #"),
        ("98 % of 1,000 moved", "# % of # moved"),
        ("½ of Ⅷ and ٣٫٥ or 1 000", "# of # and # or #"),
        ("m-12ab34 says so", "m-#ab# says so"),
        ("resid_post.1 and head.2.13 carry it", "resid_post.1 and head.2.13 carry it"),
        ("it ends at mlp_out.0.", "it ends at mlp_out.0."),
        ("resid_post.0.97", "resid_post.#"),
        ("head.1.3%", "head.#%"),
        ("layer 2", "layer #"),
    ],
)
def test_figures_are_left_out_and_names_of_sites_are_kept(said: str, shown: str):
    assert without_figures(said) == shown


def test_a_quotation_cannot_be_ended_from_within():
    assert quoted('a ” b " `c`') == "“a ' b ' 'c'”"


@given(st.text())
def test_no_digit_of_any_script_survives(text: str):
    assert not any(character.isdigit() for character in quoted(text.replace(".", "")))  # no site without a dot
