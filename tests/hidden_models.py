"""Small models made by hand that decide about records in a way that is known, and one of random weights."""

import numpy as np
import torch
from transformers import GPT2LMHeadModel
from vesalius.evals.organisms._hidden_text import hidden_tokenizer, prompt, value_position
from vesalius.evals.organisms._hidden_training import untrained
from vesalius.evals.organisms._hidden_tree import FIELDS, VALUES, RecordLaw, Split, decide
from vesalius.tools import Subject

LAW = RecordLaw(((1, 2),))
TREE = Split(0, frozenset({0}), inside=True, outside=Split(7, frozenset({2}), inside=False, outside=True))

FOUND, SAYS, VALUE, LARGE = (0, 2), 1, 5, (20, 21)  # axes of the stream: where, yes less no, values, size
STEADY = 100.0  # so large that no value changes what a norm divides by
# Of equal length, so that norms tell none of them apart; along the first axis: 1, -1, -0.5.
EMBEDDED = torch.tensor([[1.0, -1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0], [-0.5, 0.5, 0.75**0.5, -(0.75**0.5)]])
HEAD_DIM, WIDTH = 16, 64


def fresh(seed: int) -> GPT2LMHeadModel:
    """Random weights, with attention patterns that can be read."""
    model = untrained(hidden_tokenizer(), seed)
    model.set_attn_implementation("eager")
    return model


def random_subject() -> Subject:
    """Random weights, wide enough that every value matters, and centred so that both decisions come up."""
    model = fresh(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim == 2 else 1.0)
    made = Subject(model, hidden_tokenizer(), "random", None, None)
    yes, no = made.tokenizer.convert_tokens_to_ids(["yes", "no"])
    with torch.no_grad():
        records = LAW.records(np.random.default_rng(0), 200)
        tokens = made.tokenise([prompt(record) for record in records])
        read = model.transformer(tokens.ids).last_hidden_state[:, -1]
        less = model.lm_head.weight[yes] - model.lm_head.weight[no]
        # The direction of yes less no loses what it says on average.
        mean = read.mean(0)
        model.lm_head.weight[yes] -= mean * (less @ mean) / (mean @ mean)
    return Subject(model, hidden_tokenizer(), "random", None, None)


def _silent() -> GPT2LMHeadModel:
    """Blocks that write nothing, tokens and positions that say nothing, but for yes and no along one axis."""
    model = fresh(0)
    yes, no, *values = hidden_tokenizer().convert_tokens_to_ids(["yes", "no", *VALUES])
    with torch.no_grad():
        for block in model.transformer.h:
            for part in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj):
                part.weight.zero_()
                part.bias.zero_()
        model.transformer.wte.weight.zero_()
        model.transformer.wpe.weight.zero_()
        model.transformer.wte.weight[yes, SAYS] = 10.0
        model.transformer.wte.weight[no, SAYS] = -10.0
        model.transformer.wte.weight[values, VALUE : VALUE + 4] = EMBEDDED
    return model


def reads(field: int, neurons: bool = False) -> Subject:
    """Decides yes where that field is low, and no else; one head carries its value to the end, linearly.

    Args:
        neurons: of the last MLP add to the answer what they read from that head.
    """
    model = _silent()
    first, last = model.transformer.h
    with torch.no_grad():
        model.transformer.wpe.weight[:, LARGE[0]] = STEADY
        model.transformer.wpe.weight[:, LARGE[1]] = -STEADY
        model.transformer.wpe.weight[value_position(field), list(FOUND)] = torch.tensor([STEADY, -STEADY])
        first.attn.c_attn.bias[:HEAD_DIM] = 3.0  # a query of always
        first.attn.c_attn.weight[FOUND[0], WIDTH : WIDTH + HEAD_DIM] = 3.0
        first.attn.c_attn.weight[VALUE, 2 * WIDTH] = 1.0
        first.attn.c_proj.weight[0, SAYS] = 20.0
        if neurons:
            turns = torch.tensor([1.0, -1.0]).repeat(64)
            last.mlp.c_fc.weight[SAYS] = 20 * turns
            last.mlp.c_proj.weight[:, SAYS] = 0.02 * turns
    return Subject(model, hidden_tokenizer(), f"reads {FIELDS[field]}", None, None)


def speaks_at(field: int) -> Subject:
    """Values lean to yes or no by themselves; everywhere but at one field norms make that small."""
    model = _silent()
    values = hidden_tokenizer().convert_tokens_to_ids(list(VALUES))
    with torch.no_grad():
        model.transformer.wte.weight[values, SAYS] = EMBEDDED[:, 0]
        model.transformer.wpe.weight[:, LARGE[0]] = STEADY
        model.transformer.wpe.weight[:, LARGE[1]] = -STEADY
        model.transformer.wpe.weight[value_position(field), list(LARGE)] = 0
    return Subject(model, hidden_tokenizer(), f"speaks at {FIELDS[field]}", None, None)


def low(records: np.ndarray, field: int) -> np.ndarray:
    """What `reads` decides."""
    return decide(Split(field, frozenset({0}), inside=True, outside=False), records)
