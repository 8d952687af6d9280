"""Feature activations of many texts, one text at a time."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ._base import Progress, silent
from ._dictionary import Dictionary
from ._subject import Subject

BATCH = 16


def read_prompts(
    subject: Subject, dictionary: Dictionary, layers: Sequence[int], prompts: Sequence[str], progress: Progress = silent
) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Per prompt its tokens, and the activations (pos, feature) of these layers' features side by side.

    Raises:
        ToolError: a layer that the dictionary lacks, or a prompt that the subject cannot read.
    """
    chosen = [dictionary.at(layer) for layer in layers]
    for start in range(0, len(prompts), BATCH):
        progress(start, len(prompts), "reading features")
        tokens = subject.tokenise(prompts[start : start + BATCH])
        run = subject.run(tokens, read=[one.reads for one in chosen])
        acts = torch.cat([one.acts(run.sites[one.reads]) for one in chosen], -1).float().cpu()
        for row, length in enumerate(tokens.lengths):
            yield subject.token_strings(tokens.ids[row, :length].tolist()), acts[row, :length]
    progress(len(prompts), len(prompts), "read features")
