"""Observables: vectors worked by hand, sums over paths against automatic differentiation on held modules, errors."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from conftest import make_subject, word_tokenizer
from hand_made import writing_nothing
from held_hugging_face import HELD, HeldModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from vesalius.tools import Subject, ToolError, load_tools
from vesalius.tools.observable import ObservableArgs, observable

PROMPT = "w1 w2 w3"  # behind `<bos>`: tokens 0..3
ASKED = {"answer": "w4", "foil": "w5"}


def pulled(subject, *observables, **more):
    asked = {"observables": [{**ASKED, **one} for one in observables], "give_vectors": True, **more}
    return observable(subject, ObservableArgs.model_validate(asked))


def vectors(result) -> torch.Tensor:
    return torch.tensor([one.vector for one in result.vectors])


def asked_of_logits(subject) -> torch.Tensor:
    """What the observable listens to behind the final norm."""
    answer, foil = (subject.answer_token(PROMPT, word) for word in ("w4", "w5"))
    return subject.W_U[:, answer] - subject.W_U[:, foil]


def centred(norm, vector: torch.Tensor) -> torch.Tensor:
    return vector - vector.mean() if norm.centred else vector


def test_without_a_prompt_a_path_of_heads_is_the_product_of_its_transposed_matrices(subject):
    y = centred(subject.final_norm, subject.final_norm.weight * asked_of_logits(subject))
    for layer, head in ((2, 1), (0, 3)):
        weights = subject.weights(layer)
        if weights.post_attention is not None:
            y = weights.post_attention.weight * y
        y = centred(weights.norm1, weights.norm1.weight * (weights.W_V[head] @ weights.W_O[head] @ y))
    (found,) = pulled(subject, {"path": ["head.2.1", "head.0.3"]}).vectors
    assert torch.tensor(found.vector) == pytest.approx(y, rel=1e-4, abs=1e-5)
    assert (found.site, found.position, found.value) == ("resid_pre.0", None, None)
    assert found.length == pytest.approx(y.norm().item(), rel=1e-4)


def test_coupling_is_what_streams_with_one_unit_of_the_first_have_of_the_second():
    subject = make_subject("gpt2")
    words = [("w4", "w5"), ("w4", "w6"), ("w7", "w8")]
    result = pulled(subject, *({"answer": a, "foil": f, "path": ["head.1.2"]} for a, f in words))
    y = vectors(result)
    streams = torch.randn(60_000, y.shape[1], generator=torch.Generator().manual_seed(0))
    for i, one in enumerate(y):
        spread = streams - (streams @ one / one.square().sum())[:, None] * one
        having_one = spread + one / one.square().sum()
        assert (having_one @ y.T).mean(0) == pytest.approx(torch.tensor(result.coupling[i]), abs=0.02 * y.norm().item())
    assert [row[i] for i, row in enumerate(result.cosine)] == pytest.approx([1.0] * 3, abs=1e-5)
    due = torch.cosine_similarity(y[0], y[1], dim=0).item()
    assert result.cosine[0][1] == pytest.approx(due, abs=1e-5) == result.cosine[1][0]


def test_weights_on_tokens_are_answer_minus_foil_when_they_are_one_and_minus_one():
    subject = make_subject("qwen3")
    weights = [{"token": "w4", "weight": 1}, {"token": "w5", "weight": -1}]
    path = {"path": ["mlp_out.2", "head.1.0@1"], "prompt": PROMPT}
    result = pulled(subject, path, {**path, "answer": "", "foil": "", "weights": weights})
    assert result.vectors[0] == result.vectors[1]
    twice = pulled(
        subject,
        {**path, "answer": "", "foil": "", "weights": [{**one, "weight": 2 * one["weight"]} for one in weights]},
    )
    assert vectors(twice)[0] == pytest.approx(2 * vectors(result)[0], rel=1e-5)


def test_with_denominators_held_the_stream_gives_the_models_own_logit_difference(subject):
    (found,) = pulled(subject, {"prompt": PROMPT}, norms="frozen").vectors
    end = subject.run(subject.tokenise([PROMPT]), read=["resid_post.2"]).sites["resid_post.2"][0, -1]
    bias = subject.final_norm.bias
    constant = 0.0 if bias is None else (bias @ asked_of_logits(subject)).item()
    due = (subject.final_norm(end) @ asked_of_logits(subject)).item()
    assert found.value + constant == pytest.approx(due, abs=1e-4)
    assert (found.site, found.position) == ("resid_post.2", 3)
    assert found.cosine_with_frozen == pytest.approx(1.0, abs=1e-5)


def test_a_push_moves_the_model_as_the_vector_says_where_its_path_is_all_there_is():
    subject = Subject(
        writing_nothing("o_proj", "layers.0.mlp.down_proj", "layers.2.mlp.down_proj"), word_tokenizer(), "", None, None
    )
    direct, through = pulled(subject, {"prompt": PROMPT}, {"prompt": PROMPT, "path": ["mlp_out.1"]}).vectors
    assert direct.slope_on_model == pytest.approx(direct.length, rel=1e-3)
    both = torch.tensor(direct.vector) @ torch.tensor(through.vector) / through.length + through.length
    assert through.slope_on_model == pytest.approx(both.item(), rel=0.02)


def test_readings_are_the_streams_products_with_the_vector():
    subject = make_subject("gpt_neox")
    prompts = ["w9 w2 w3", "w5 w6", "w9 w2"]
    read = [{"prompt": prompt, "entity": prompt.split()[1]} for prompt in prompts]
    result = pulled(subject, {"prompt": PROMPT, "path": ["head.2.1@2"]}, read_on=read, read_at="entity")
    streams = subject.run(subject.tokenise(prompts), read=["resid_pre.2"]).sites["resid_pre.2"][:, 2]
    held = vectors(pulled(subject, {"prompt": PROMPT, "path": ["head.2.1@2"]}, norms="frozen"))[0]
    assert result.vectors[0].readings == pytest.approx((streams @ held).tolist(), abs=1e-5)
    assert result.vectors[0].cosine_with_frozen < 0.99


def test_tokens_that_have_most_of_a_vector_are_named():
    subject = make_subject("llama")
    result = pulled(subject, {"path": ["head.0.0"]}, top_k=2)
    has = subject.W_E @ vectors(result)[0]
    assert [name for name, _ in result.vectors[0].most] == list(subject.token_strings(has.topk(2).indices.tolist()))
    assert [name for name, _ in result.vectors[0].least] == list(subject.token_strings((-has).topk(2).indices.tolist()))
    assert result.vectors[0].most[0][1] == pytest.approx(has.max().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("chosen", "origin"),
    [
        (["mlp_out.2", "head.1.3"], 3),
        (["head.2.0", "mlp_out.1", "head.0.2"], 2),
    ],
)
def test_vectors_of_all_paths_add_up_to_the_models_own_gradient(subject, chosen, origin):
    result = pulled(subject, *({"prompt": PROMPT, "path": path} for path in paths_from(chosen, origin)))
    due = gradient(subject, chosen, f"resid_pre.{chosen[-1].split('.')[1]}", origin)
    assert max(one.autograd_error for one in result.vectors) < 1e-5
    found = vectors(result).sum(0)
    assert found.numpy() == pytest.approx(due.numpy(), rel=1e-3, abs=1e-5 * due.norm().item() + 1e-6)


def paths_from(chosen: Sequence[str], origin: int) -> Iterator[list[str]]:
    """Every path through some of these components that ends at the last token and begins at `origin`."""
    last, n = 3, len(chosen)
    for mask in range(2**n):
        some = [node for i, node in enumerate(chosen) if mask >> i & 1]
        heads = sum(node.startswith("head") for node in some)
        if heads == 0:
            if origin == last:
                yield some
            continue
        for between in range((last + 1) ** (heads - 1)):
            places = [between // (last + 1) ** i % (last + 1) for i in range(heads - 1)] + [origin]
            if sorted(places, reverse=True) == places:
                at = iter(places)
                yield [f"{node}@{next(at)}" if node.startswith("head") else node for node in some]


def gradient(subject, chosen: Sequence[str], begins: str, origin: int) -> torch.Tensor:
    """Of the observable, by the stream at `begins`: Hugging Face's modules, patterns held, all else constant."""
    held = HeldModel(subject, PROMPT)
    pushed = torch.zeros(subject.shape.d_model, requires_grad=True)
    handles, told = [], []
    for layer, modules in enumerate(subject.architecture.blocks()):
        heads = [int(node.split(".")[2]) for node in chosen if node.startswith(f"head.{layer}.")]
        handles.append(modules.attention_output.register_forward_pre_hook(held._keeping(layer, heads)))
        if f"mlp_out.{layer}" not in chosen:
            handles.append(modules.mlp_adds.register_forward_hook(lambda _, __, out: out.detach()))

    def push(_, args, kwargs):
        stream = (args[0] if args else kwargs["hidden_states"]).clone()
        stream[0, origin] = stream[0, origin] + pushed
        return ((stream, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": stream})

    first = subject.architecture.blocks()[int(begins.split(".")[1])].block
    handles.append(first.register_forward_pre_hook(push, with_kwargs=True))
    handles.append(
        subject.model.get_output_embeddings().register_forward_pre_hook(lambda _, args: told.append(args[0]))
    )
    config = subject.model.config
    try:
        ALL_ATTENTION_FUNCTIONS.register(HELD, held._attend)
        config._attn_implementation = HELD
        subject.model(held.ids, use_cache=False)
    finally:
        config._attn_implementation = "eager"
        for handle in handles:
            handle.remove()
    (found,) = torch.autograd.grad(told[0][0, -1] @ asked_of_logits(subject), pushed)
    return found


def test_a_prompt_to_read_on_is_read_at_one_token_of_its_own():
    with pytest.raises(ToolError, match="Use last, entity, or an integer"):
        pulled(make_subject("gpt2"), {}, read_on=[{"prompt": PROMPT}], read_at="differs")


@pytest.mark.parametrize("norms", ["tangent", "frozen"])
def test_a_vector_as_short_as_an_attention_of_next_to_nothing_keeps_its_figures(norms):
    """Weights stand for what a pattern leaves: of any size, cosines are the same, and coupling and lengths go along."""
    subject, path = make_subject("gpt2"), {"prompt": PROMPT, "path": ["head.1.2@1"], "answer": "", "foil": ""}

    def weighed(size: float):
        both = (("w4", "w5"), ("w6", "w8"))
        weights = [[{"token": a, "weight": size}, {"token": b, "weight": -size}] for a, b in both]
        return pulled(subject, *({**path, "weights": one} for one in weights), norms=norms)

    plain, short = weighed(1.0), weighed(1e-25)
    for one, other in zip(plain.vectors, short.vectors, strict=True):
        assert other.length == pytest.approx(1e-25 * one.length, rel=1e-3, abs=0)
        assert other.cosine_with_frozen == pytest.approx(one.cosine_with_frozen, abs=1e-4)
        assert other.autograd_error == pytest.approx(one.autograd_error, abs=1e-3)
        assert other.slope_on_model == pytest.approx(1e-25 * one.slope_on_model, rel=1e-2, abs=0)
    assert short.cosine[0] == pytest.approx(plain.cosine[0], abs=1e-4)
    assert short.coupling[0] == pytest.approx(plain.coupling[0], abs=1e-4)


def test_a_path_that_carries_nothing_is_refused():
    subject = Subject(writing_nothing("o_proj"), word_tokenizer(), "", None, None)
    with pytest.raises(ToolError, match="whose weights are not zero"):
        pulled(subject, {"path": ["head.1.0"]})


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"path": ["head.1.0", "head.2.0"]}, "from the last to the first"),
        ({"path": ["head.1.0", "head.1.2"]}, "from the last to the first"),
        ({"path": ["resid_pre.1"]}, "head.LAYER.HEAD@POSITION or mlp_out.LAYER"),
        ({"path": ["head.9.0"]}, r"Layers: 0\.\.2"),
        ({"path": ["head.1.0@2"]}, "without one, and for MLPs, name no position"),
        ({"path": ["head.1.0"], "prompt": PROMPT}, "With a prompt, write heads as"),
        ({"path": ["mlp_out.1@2"], "prompt": PROMPT}, "name no position"),
        ({"path": ["head.1.0@9"], "prompt": PROMPT}, r"0\.\.3"),
        ({"path": ["head.1.0@entity"], "prompt": PROMPT, "entity": "w2 w3"}, "Name one token by its number"),
        ({"path": ["mlp_out.1"]}, "give `prompt`"),
        ({"path": ["blocks.1.hook_mlp_out"]}, "give `prompt`"),
        ({"path": ["head.1.0@differs"], "prompt": PROMPT}, "Use last, entity, or an integer"),
        ({"answer": "", "foil": "", "weights": [{"token": "w4", "weight": 1e39}]}, "less than or equal to"),
        ({"foil": ""}, "give answer and foil, or weights"),
        ({"foil": "w4"}, "Give two different words"),
        ({"answer": "horse"}, "words the model knows"),
        ({"answer": "w4 w5"}, "single tokens"),
        ({"path": ["head.2.0@3", "head.1.0@3"], "prompt": "w1 w2"}, r"0\.\.2"),
    ],
)
def test_what_cannot_be_pulled_back_is_refused_with_the_mend(change, mend):
    tool = load_tools()["observable"]
    with pytest.raises(ToolError, match=mend):
        tool(make_subject("gpt2"), tool.parse({"observables": [{**ASKED, **change}]}))
