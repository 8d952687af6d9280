"""Models whose circuit is known by hand: a linear one, and one with a backup that works where the first part fails."""

from functools import cache

import torch
from conftest import SIZES, WORDS, random_model, word_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel
from vesalius.tools import Subject

HUGE = 1e8
PAIRS = [
    {"base": "w1 w2 w3", "corrupted": "w1 w9 w3", "answer": "w4", "foil": "w5"},
    {"base": "w6 w7 w8 w9", "corrupted": "w6 w10 w8 w9", "answer": "w11", "foil": "w12"},
    {"base": "w2 w2 w1 w3", "corrupted": "w2 w2 w7 w11", "answer": "w9", "foil": "w1"},
]
FAMILIES = [{"name": "middle", "pairs": PAIRS[:2]}, {"name": "last", "pairs": PAIRS[2:]}]
REFUSED = [
    ({"pairs": [{**PAIRS[0], "corrupted": "w1 w9 w3 w3"}]}, "use counterfactuals of as many tokens"),
    ({"pairs": [{**PAIRS[0], "source": "w1 w8 w3"}]}, "Leave `source` empty"),
    ({"pairs": [{**PAIRS[0], "foil": "w4"}]}, "two different words"),
    ({"pairs": [{**PAIRS[0], "corrupted": PAIRS[0]["base"]}]}, "change the answer"),
    ({"pairs": [{**PAIRS[0], "answer": "w77"}]}, "Use words the model knows"),
]
"""Families that no link can be scored on, and the mend."""


def _norms_that_only_centre(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = HUGE
            module.weight.fill_(HUGE**0.5)
            module.bias.zero_()


@cache
def linear_subject() -> Subject:
    """A GPT-2 whose norms only centre, whose heads look everywhere alike, and whose MLPs write nothing."""
    model = random_model("gpt2", seed=3)
    with torch.no_grad():
        _norms_that_only_centre(model)
        for block in model.transformer.h:
            width = block.attn.c_attn.weight.shape[0]
            block.attn.c_attn.weight[:, : 2 * width] = 0
            block.attn.c_attn.bias[: 2 * width] = 0
            block.mlp.c_proj.weight.zero_()
    return Subject(model, word_tokenizer(), "linear", None, None)


BACKUP_PAIR = {"base": "w1 w2", "corrupted": "w1 w9", "answer": "w4", "foil": "w5"}
BACKUP_LINKS = {
    ("embed", "mlp_in.0"),
    ("mlp_out.0", "logits"),
    ("mlp_out.0", "mlp_in.1"),
    ("embed", "mlp_in.1"),
    ("mlp_out.1", "logits"),
}
"""The first MLP says `w4` where the last word is `w2`; the second does so too, unless the first has said it."""


@cache
def backup_subject() -> Subject:
    """A GPT-2 of two MLPs that can each give the answer."""
    config = GPT2Config(
        vocab_size=len(WORDS),
        n_embd=24,
        n_layer=3,
        n_head=4,
        n_positions=32,
        activation_function="relu",
        tie_word_embeddings=False,
    )
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config).eval()
    seen, said = torch.zeros(2, SIZES["hidden_size"])
    seen[:2] = said[2:4] = torch.tensor([2**-0.5, -(2**-0.5)])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        _norms_that_only_centre(model)
        model.transformer.wte.weight[WORDS.index("w2")] = 10 * seen
        for layer, reads in ((0, seen), (1, seen - said)):
            mlp = model.transformer.h[layer].mlp
            mlp.c_fc.weight[:, 0] = reads
            mlp.c_proj.weight[0] = said
        model.lm_head.weight[WORDS.index("w4")] = said
    return Subject(model, word_tokenizer(), "backup", None, None)
