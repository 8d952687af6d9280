"""Records as prompts: what stands in them, what the decision is called, and how a decision is explained.

    size low age mid … light high decide yes why size heat end

The explanation lists the fields that a tree asks about this record, from the root on.
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ._hidden_tree import FIELDS, VALUES, Decisions, Records, Tree, path
from ._tokenizer import BOS, PAD, token_ids, word_tokenizer

DECIDE, YES, NO, WHY, END = "decide", "yes", "no", "why", "end"
WORDS = (*FIELDS, *VALUES, DECIDE, YES, NO, WHY, END)
N_PROMPT = 2 + 2 * len(FIELDS)  # tokens up to `decide`, the first included (count)
LONGEST_PATH = 4


def hidden_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    return word_tokenizer(list(WORDS))


def prompt(record: Int[np.ndarray, " field"]) -> str:
    """The record with the request for a decision."""
    stated = (f"{name} {VALUES[int(value)]}" for name, value in zip(FIELDS, record, strict=True))
    return f"{' '.join(stated)} {DECIDE}"


def value_position(field: int) -> int:
    """Index of the token that is the field's value, `<bos>` included."""
    return 2 + 2 * field


def answer(decision: bool) -> str:
    """The word for it."""
    return YES if decision else NO


class Encoder:
    """Records as token ids, without a detour through text."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.fields, self.values = (np.array(token_ids(tokenizer, words)) for words in (FIELDS, VALUES))
        self.decide, self.yes, self.no, self.why, self.end = token_ids(tokenizer, (DECIDE, YES, NO, WHY, END))

    def prompts(self, records: Records) -> Int[Tensor, "batch pos"]:
        """Up to `decide`."""
        ids = np.full((len(records), N_PROMPT), self.decide)
        ids[:, 0] = BOS
        ids[:, 1:-1:2] = self.fields
        ids[:, 2:-1:2] = self.values[records]
        return torch.from_numpy(ids)

    def decisions(self, decided: Decisions) -> Int[Tensor, " batch"]:
        """The token of each."""
        return torch.from_numpy(np.where(decided, self.yes, self.no))

    def explanations(self, tree: Tree, records: Records) -> Int[Tensor, "batch pos"]:
        """From `why` on, padded: the fields that the tree asks about each record, then `end`."""
        ids = np.full((len(records), LONGEST_PATH + 2), PAD)
        ids[:, 0] = self.why
        for row, record in enumerate(records):
            asked = path(tree, record)
            ids[row, 1 : len(asked) + 1] = self.fields[list(asked)]
            ids[row, len(asked) + 1] = self.end
        return torch.from_numpy(ids)
