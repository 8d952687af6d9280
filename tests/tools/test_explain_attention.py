"""Attention explained: parts sum to the link, each part is what its head lets through, pairs make the model's score."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from hand_made import writing_nothing
from held_hugging_face import HeldModel
from random_dictionaries import N_FEATURES, all_links, random_dictionary
from vesalius.tools import Subject, ToolError, get_tool
from vesalius.tools._attribution_ids import source_names
from vesalius.tools._attribution_local import LocalModel, local_model
from vesalius.tools._attribution_looks import look_at
from vesalius.tools._attribution_nodes import Targets
from vesalius.tools._attribution_norm import FrozenNorm
from vesalius.tools._attribution_paths import Written, by_last_head
from vesalius.tools._attribution_query_key import run_with_looks
from vesalius.tools._block_parts import QueryKeyWeights
from vesalius.tools._dictionary import Dictionary, Transcoder
from vesalius.tools._dictionary_file import save_dictionary
from vesalius.tools.explain_attention import BIAS, ExplainAttentionArgs, explain_attention

PROMPT = "w3 w11 w7 w3 w20"


def linked(subject: Subject, kind: str) -> tuple[LocalModel, Targets, torch.Tensor]:
    """A local model, its targets, two logits last, and all links."""
    local = local_model(subject, random_dictionary(subject, kind), PROMPT)
    return local, *all_links(local, (local.W_U[:, [5, 9]] - local.W_U.mean(-1, keepdim=True)).T)


def one(targets: Targets, row: int) -> Targets:
    return targets.take(torch.tensor([row]))


@pytest.mark.parametrize("kind", ["skip", "cross-layer", "neurons"])
def test_the_parts_of_a_link_sum_to_it(subject, kind):
    local, targets, links = linked(subject, kind)
    for row in (len(links) - 1, len(links) - 3, len(links) // 2):
        target = one(targets, row)
        for source in (0, local.n_active // 3, local.n_active + 1, local.n_sources - 2):
            split = by_last_head(local, target, Written.by(local, source))
            total = split.straight + split.heads.sum().item()
            assert total == pytest.approx(links[row, source].item(), rel=1e-4, abs=1e-5 * links[row].abs().max().item())
        everything = by_last_head(local, target, Written.by_all(local))
        assert everything.straight + everything.heads.sum().item() == pytest.approx(links[row].sum().item(), rel=1e-3)
        assert everything.heads.abs().sum() > 0


def effect(held: HeldModel, local: LocalModel, target: Targets, written: Written, skips, passing) -> float:
    """What is written moves a target by, in frozen modules that let some heads alone pass a change."""
    added = {layer: torch.stack([torch.zeros_like(more), more]) for layer, more in enumerate(written.mlps)}
    tokens = torch.stack([torch.zeros_like(written.tokens), written.tokens])
    mlp_in, logits = held.run(True, True, True, added, skips=skips, tokens=tokens, passing=passing)
    layer, at = int(target.layer), int(target.position)
    if layer < len(local.blocks):
        return ((mlp_in[1] - mlp_in[0])[layer, at] @ target.vector[0]).item()
    cap = held.subject.logit_softcap
    plain = logits if cap is None else cap * torch.atanh(logits / cap)
    return ((plain[1] - plain[0]) @ torch.linalg.lstsq(local.W_U, target.vector[0]).solution).item()


@pytest.mark.parametrize("kind", ["skip", "cross-layer"])
def test_a_heads_part_is_what_it_lets_through_when_heads_above_let_nothing_through(subject, kind):
    (local, targets, _), held = linked(subject, kind), HeldModel(subject, PROMPT)
    skips, all_heads = [block.skip for block in local.blocks], range(subject.shape.n_heads)
    target = one(targets, len(targets) - 1)
    feature = int((local.position == 3).nonzero()[0])  # of the first layer
    for source in (feature, local.n_sources - 3):  # and a token
        written = Written.by(local, source)
        split = by_last_head(local, target, written)
        scale = split.heads.abs().sum().item()
        for layer in range(3):
            above = dict.fromkeys(range(layer + 1, 3), ())
            none = effect(held, local, target, written, skips, above | {layer: ()})
            if layer == 0:
                assert none == pytest.approx(split.straight, abs=1e-4 * scale)
            for head in all_heads:
                through = effect(held, local, target, written, skips, above | {layer: (head,)}) - none
                assert split.heads[layer, head].sum().item() == pytest.approx(through, abs=1e-4 * scale)
        assert scale > 0.01


def test_where_one_head_alone_writes_it_carries_all_that_is_not_straight(tmp_path):
    model = random_model("llama")
    with torch.no_grad():
        for layer, block in enumerate(model.model.layers):
            block.self_attn.o_proj.bias.zero_()
            kept = block.self_attn.o_proj.weight[:, 12:18].clone()
            block.self_attn.o_proj.weight.zero_()
            if layer == 1:
                block.self_attn.o_proj.weight[:, 12:18] = kept
    subject = Subject(model, word_tokenizer(), "one-head", None, None)
    found = explain_attention(subject, ExplainAttentionArgs(prompt=PROMPT, target="logit.5@5", dictionary="neurons"))
    assert [part.head for part in found.carried.heads if abs(part.part) > 1e-6] == ["1.2"]
    assert found.carried.weight == pytest.approx(found.carried.straight + found.carried.heads[0].part, rel=1e-4)
    other = ExplainAttentionArgs(prompt=PROMPT, target="logit.5@5", source="token@2", dictionary="neurons")
    alone = explain_attention(subject, other).carried
    assert alone.straight == 0
    assert (alone.heads[0].key, alone.heads[0].token) == (2, "w11")
    assert alone.heads[0].key_part == pytest.approx(alone.weight, rel=1e-4)


def asked(subject, kind, layer, head, query, key, against=None):
    """One look taken apart, with the local model and the clean run that it was taken from."""
    local = local_model(subject, random_dictionary(subject, kind), PROMPT)
    run, looks = run_with_looks(subject, subject.tokenise([PROMPT]))
    norm1, resid = subject.weights(layer).norm1, run.sites[f"resid_pre.{layer}"][0]
    norm = FrozenNorm.at(norm1, resid)
    return local, look_at(local, looks[layer], norm, norm1(resid)[None], (layer, head), query, key, against)


@pytest.mark.parametrize("kind", ["cross-layer", "neurons"])
@pytest.mark.parametrize("layer", range(3))
def test_all_pairs_together_are_the_score_that_the_modules_compute(subject, kind, layer):
    held = HeldModel(subject, PROMPT)
    held.run(True, False, False, {0: torch.zeros(1, 6, 24)})
    scores = held.queries[layer][0] @ held.keys[layer][0].mT * held.scaling[layer]
    for head, query, key in ((0, 5, 4), (3, 3, 1), (2, 0, 0)):
        _, look = asked(subject, kind, layer, head, query, key)
        assert look.total == pytest.approx(scores[head, query, key].item(), abs=1e-4 * scores[head].abs().max().item())
        assert (look.query @ look.key.T).sum().item() == pytest.approx(look.total, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", ["skip", "cross-layer"])
def test_a_sources_side_is_what_adding_it_does_to_the_query_and_to_the_key(subject, kind):
    layer, head, query, key = 2, 1, 5, 4
    local, look = asked(subject, kind, layer, head, query, key)
    held, sources = HeldModel(subject, PROMPT), [*range(0, local.n_sources, 3)]
    rows = [Written.by(local, source) for source in sources]
    rows.append(Written(*(torch.zeros_like(part) for part in (rows[0].tokens, rows[0].mlps))))
    mlps, skips = torch.stack([row.mlps for row in rows], 1), [block.skip for block in local.blocks]
    held.run(True, True, True, dict(enumerate(mlps)), skips=skips, tokens=torch.stack([row.tokens for row in rows]))
    queries, keys = held.queries[layer][:, head, query], held.keys[layer][:, head, key]
    assert torch.allclose(queries[:-1] - queries[-1], look.query[sources] / held.scaling[layer], atol=1e-4)
    assert torch.allclose(keys[:-1] - keys[-1], look.key[sources], atol=1e-4)
    assert look.key[sources].abs().max() > 0.1


def test_a_model_whose_pattern_its_parts_do_not_rebuild_is_refused(monkeypatch):
    subject = make_subject("gemma2")
    real = subject.architecture.looks

    def swapped(layer: int) -> QueryKeyWeights:
        weights = real(layer)
        return replace(weights, W_Q=weights.W_K, W_K=weights.W_Q)

    monkeypatch.setattr(subject.architecture, "looks", swapped)
    with pytest.raises(ToolError, match=r"layer 0 look is not explained .* use a plain checkpoint"):
        explained(subject, head="1.2")


def test_a_hand_worked_score(tmp_path):
    """w11 looks at what w3 wrote: the first unit vector with the second, turned by their distance of one token."""
    model, unit = writing_nothing("proj"), torch.eye(24)
    with torch.no_grad():
        model.model.embed_tokens.weight[[1, 6, 14]] = 3 * unit[[5, 0, 1]]  # <bos>, w3, w11
        attention = model.model.layers[1].self_attn
        attention.q_proj.weight[6, 1], attention.k_proj.weight[0, 0] = 0.5, 0.25  # head 1, first dimension
        attention.k_proj.bias[0] = 0.1
    subject = Subject(model, word_tokenizer(), "hand-made", None, None)
    args = {"prompt": "w3 w11", "dictionary": "neurons", "head": "1.1", "query": 2, "key": 1}
    path = tmp_path / "silent.safetensors"
    zero, active = torch.zeros(N_FEATURES, 24), torch.zeros(N_FEATURES)
    active[0] = 1.0
    layers = tuple(Transcoder(i, zero, active, zero, torch.zeros(24), "relu") for i in range(3))
    save_dictionary(Dictionary("silent", subject.key.fingerprint, layers), path)
    found = explain_attention(subject, ExplainAttentionArgs(**args | {"dictionary": str(path)})).looked
    root, turned = math.sqrt(24), math.cos(1) / math.sqrt(6)
    assert found.score == pytest.approx(0.5 * root * (0.25 * root + 0.1) * turned, rel=1e-4)
    assert [(pair.query, pair.key) for pair in found.pairs[:2]] == [("token@2", "token@1"), ("token@2", BIAS)]
    assert found.pairs[0].part == pytest.approx(0.5 * root * 0.25 * root * turned, rel=1e-4)
    assert found.pairs[1].part == pytest.approx(0.5 * root * 0.1 * turned, rel=1e-4)
    assert found.other_pairs == pytest.approx(0, abs=1e-5)
    assert [source.source for source in found.query_sources[:1]] == ["token@2"]
    assert found.query_sources[0].part == pytest.approx(found.score, rel=1e-4)


def explained(subject, **args):
    return explain_attention(subject, ExplainAttentionArgs(**({"prompt": PROMPT, "dictionary": "neurons"} | args)))


def test_what_is_listed_and_what_is_not_sum_to_the_whole(subject):
    found = explained(subject, target="logit.5@5", head="1.2", top_n=4)
    carried, looked = found.carried, found.looked
    heads = sum(part.part for part in carried.heads)
    assert carried.straight + sum(carried.layers) == pytest.approx(carried.weight, rel=1e-3)
    assert heads + carried.other_heads == pytest.approx(sum(carried.layers), rel=1e-4)
    logits = subject.run(subject.tokenise([PROMPT])).last_logits[0]
    cap = subject.logit_softcap
    plain = logits if cap is None else cap * torch.atanh(logits / cap)
    assert carried.weight + carried.constant == pytest.approx((plain[5] - plain.mean()).item(), abs=1e-3)
    assert sum(pair.part for pair in looked.pairs) + looked.other_pairs == pytest.approx(looked.sum_of_pairs)
    assert looked.sum_of_pairs == pytest.approx(looked.score, rel=1e-4, abs=1e-4)
    assert [abs(pair.part) for pair in looked.pairs] == sorted((abs(pair.part) for pair in looked.pairs), reverse=True)
    pattern = subject.run(subject.tokenise([PROMPT]), read=["pattern.1"]).sites["pattern.1"][0, 2, 5]
    assert (looked.key, looked.attention) == (int(pattern.argmax()), pytest.approx(pattern.max().item()))
    assert carried.heads[0].attention <= 1
    assert (looked.capped_score != looked.score) == (subject.model.config.model_type == "gemma2")


def test_the_strongest_pairs_are_the_largest_of_all_products():
    local, look = asked(make_subject("qwen3"), "relu", 2, 0, 5, 3)
    rows, parts = look.strongest(7)
    everything = look.query @ look.key.T
    assert torch.allclose(parts, everything[rows[:, 0], rows[:, 1]])
    assert parts.abs().tolist() == pytest.approx(everything.abs().flatten().topk(7).values.tolist())
    assert torch.allclose(look.by_query, everything.sum(1), atol=1e-4)
    assert torch.allclose(look.by_key, everything.sum(0), atol=1e-4)
    names = source_names(local, torch.arange(local.n_sources))
    assert len({*names}) == local.n_sources == len(everything) - 1
    assert {"error.2@5", "token@0", f"1/{int(local.feature[local.layer == 1][0])}@0"} <= {*names}


def test_one_key_rather_than_another_is_the_difference_of_their_scores():
    args = {"head": "2.1", "query": 5}
    one, other = (explained(make_subject("gemma3_text"), **args, key=key).looked for key in (4, 3))
    both = explained(make_subject("gemma3_text"), **args, key=4, against=3).looked
    assert both.score == pytest.approx(one.score - other.score, abs=1e-5)
    assert both.sum_of_pairs == pytest.approx(both.score, abs=1e-4)


def test_the_query_is_the_targets_token_or_the_last_and_counts_from_the_end():
    subject = make_subject("llama")
    assert explained(subject, head="1.2").looked.query == 5
    assert explained(subject, head="1.2", target="2/3@4").looked.query == 4
    assert explained(subject, head="1.2", target="2/3@4", query=-3).looked.query == 3


def test_the_same_request_gives_the_same_digest():
    tool = get_tool("explain_attention")
    args = ExplainAttentionArgs(prompt=PROMPT, dictionary="neurons", target="2/3@4", source="0/1@2", head="1.2")
    one, other = (tool.measure(make_subject("llama"), args) for _ in range(2))
    assert one.digest == other.digest
    assert tool.result_model.model_validate(one.result).model_dump(mode="json") == one.result


BEFORE = [
    ({"target": "2.3@4"}, "Write it as `LAYER/FEATURE@POS`"),
    ({"target": "2/3@6"}, r"Its tokens: 0\.\.5"),
    ({"target": "5/3@4"}, "Its layers: 0, 1, 2"),
    ({"target": "2/40@4"}, r"Features: 0\.\.39"),
    ({"target": "error.1@3"}, "Give a feature or a logit"),
    ({"target": "logit.5@3"}, "Write `@5`"),
    ({"target": "logit.99@5"}, r"Tokens: 0\.\.39"),
    ({"target": "logit.5-5@5"}, "a foil is another token"),
    ({"target": "1/3@4", "source": "error.3@4"}, r"Layers: 0\.\.2"),
    ({"target": "1/3@4", "source": "1/2@4"}, "Give a source of a layer below 1"),
    ({"target": "1/3@4", "source": "0/2@5"}, r"at one of the tokens 0\.\.4"),
    ({"target": "1/3@4", "source": "logit.5@5"}, "Give a feature, an error or a token"),
    ({"head": "3.0"}, r"Layers: 0\.\.2"),
    ({"head": "1.4"}, r"Heads: 0\.\.3"),
    ({"head": "1.0", "query": 7}, r"0\.\.5"),
    ({"head": "1.0", "query": 2, "key": 3}, r"Keys: 0\.\.2"),
    ({"head": "1.0", "query": 2, "key": 1, "against": 1}, "Name two tokens"),
]


@pytest.mark.parametrize(("args", "mend"), BEFORE)
def test_bad_input_is_refused_with_the_mend_before_the_model_runs(args, mend, monkeypatch):
    subject = make_subject("mistral")
    monkeypatch.setattr(subject, "run", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(ToolError, match=mend):
        explained(subject, **args)


def test_what_only_a_run_can_tell_is_refused_with_the_mend(tmp_path):
    subject = make_subject("mistral")  # its window is three tokens wide
    with pytest.raises(ToolError, match=r"Keys: 3\.\.5"):
        explained(subject, head="1.0", query=5, key=1)
    with pytest.raises(ToolError, match="Leave `against` out"):
        explained(subject, head="1.0", query=0, against=0)
    path = tmp_path / "random.safetensors"
    save_dictionary(random_dictionary(subject), path)
    local = local_model(subject, random_dictionary(subject), PROMPT)
    active = local.feature[(local.layer == 1) & (local.position == 4)].tolist()
    silent = next(feature for feature in range(N_FEATURES) if feature not in active)
    with pytest.raises(ToolError, match=f"Strongest of layer 1 at that token: `1/{active[0]}@4`|`1/"):
        explained(subject, dictionary=str(path), target=f"1/{silent}@4")


@pytest.mark.parametrize("raw", [{}, {"source": "token@1"}, {"target": "logit.5@5", "key": 1}, {"head": "1"}])
def test_arguments_that_contradict_each_other_are_refused(raw):
    with pytest.raises(ToolError, match="It takes: prompt"):
        get_tool("explain_attention").parse({"prompt": PROMPT} | raw)
