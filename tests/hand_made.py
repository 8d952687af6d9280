"""A model of which certain parts are silent, for known answers."""

import torch
from conftest import random_model
from torch import nn


def writing_nothing(*silent: str) -> nn.Module:
    """A random Llama whose modules of these names write nothing, and whose norms leave directions as they are."""
    model = random_model("llama")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in silent):
                parameter.zero_()
            if "norm" in name:
                parameter.fill_(1)
    return model
