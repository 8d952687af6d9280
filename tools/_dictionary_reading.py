"""Feature activations of many texts, one text at a time."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ._base import Progress, silent
from ._dictionary import FeatureLayer
from ._subject import Subject

BATCH = 16


def read_prompts(
    subject: Subject, layers: Sequence[FeatureLayer], prompts: Sequence[str], progress: Progress = silent
) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Per prompt its tokens, and the activations (pos, feature) of these layers' features side by side.

    Raises:
        ToolError: a prompt that the subject cannot read.
    """
    for start in range(0, len(prompts), BATCH):
        progress(start, len(prompts), "reading features")
        tokens = subject.tokenise(prompts[start : start + BATCH])
        run = subject.run(tokens, read=[one.reads for one in layers])
        acts = torch.cat([one.acts(run.sites[one.reads]) for one in layers], -1).float().cpu()
        for row, length in enumerate(tokens.lengths):
            yield subject.token_strings(tokens.ids[row, :length].tolist()), acts[row, :length]
    progress(len(prompts), len(prompts), "read features")
