"""Attention patterns in a report: rows as the text is read, scores beside those of a head that looks at all alike."""

from drawn_measurements import drawn
from drawn_pages import Page
from vesalius.agent.headlines import headline
from vesalius.agent.report.figures import render_plain
from vesalius.agent.report.views import view
from vesalius.tools import load_tools


def test_the_most_peaked_heads_are_drawn_with_what_each_token_looks_at(atlas):
    m = drawn(atlas, "attention_patterns")
    page = Page(view(m))
    heads = sorted(m.result["heads"], key=lambda head: head["entropy"])[:4]
    assert [text.split(". ")[0] for _, text in page.of("figcaption")] == [f"Head {head['head']}" for head in heads]
    titles = [text for _, text in page.of("title")]
    share = heads[0]["pattern"][5][3]
    token = m.result["tokens"]
    assert f"5 {token[5].strip()}, 3 {token[3].strip()}: {share:.4f}" in titles
    # Nothing looks ahead, so no such cell is drawn.
    n = len(token)
    assert len([title for title in titles if ", " in title]) == 4 * n * (n + 1) // 2


def test_scores_of_every_head_stand_above_those_of_a_uniform_one(atlas):
    m = drawn(atlas, "attention_patterns")
    rows = [text for _, text in Page(view(m)).of("td")]
    assert [rows[7 * i] for i in (0, 9, 15, 16)] == ["0.0", "2.1", "3.3", "looks at all alike"]
    assert float(rows[7 * 9 + 1]) == round(m.result["heads"][9]["to_previous"], 4)


def test_a_prompt_of_one_token_has_a_picture_and_a_headline_too(atlas):
    m = drawn(atlas, "attention_patterns")
    tool = load_tools()["attention_patterns"]
    result = tool.result_model.model_validate(m.result)
    empty = dict.fromkeys(type(result.uniform).model_fields)
    alone = [{"head": "0.0", "pattern": [[1.0]]} | empty]
    one = m.model_copy(update={"result": m.result | {"tokens": ["<bos>"], "heads": alone, "uniform": empty}})
    assert "1.0000" in str(view(one))
    assert "one token" in render_plain(headline(one), {one.id: one})


def test_the_headline_names_the_heads_that_look_most_and_what_chance_gives(atlas):
    m = drawn(atlas, "attention_patterns")
    said = render_plain(headline(m), {m.id: m})
    for kind in ("to_previous", "to_first"):
        best = max(m.result["heads"], key=lambda head: head[kind])
        assert f"`{best['head']}` ({best[kind]:.2f}" in said
        assert f"{m.result['uniform'][kind]:.2f}" in said
