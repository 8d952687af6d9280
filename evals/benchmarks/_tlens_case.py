"""What both sides of the patching comparison sweep: a random GPT-2 and two prompts, in files that either can read.

Weights are random because cost and exactness do not depend on what a model has learnt. Every word of the two prompts
differs, so all that the sweep leaves out it leaves out on account of the model, but for the first token, which begins
every text: at that position nothing is to be run.
"""

import json
import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ..organisms._tokenizer import BOS, EOS, SPECIAL, word_tokenizer

LAYERS, D_MODEL, HEADS, TOKENS, WORDS = 8, 512, 8, 24, 1000
SPREAD = 0.05  # of the weights: heads and MLPs write enough to matter
RECIPE = 1  # of these files: those of another recipe are not taken for them


@dataclass(frozen=True)
class SweepCase:
    """Where the model lies, the prompts, and the answers that tell them apart."""

    folder: Path
    base: str
    corrupted: str
    answer: str
    foil: str

    @property
    def model(self) -> Path:
        """The Hugging Face folder."""
        return self.folder / "model"


def write_sweep_case(root: Path, seed: int) -> SweepCase:
    """Write the case under `root`, or find it there."""
    folder = root / f"heads-{LAYERS}x{D_MODEL}-seed{seed}-{RECIPE}"
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=root))
        try:
            _write(part, seed)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)  # gone already when all went well
    return SweepCase(folder, **json.loads((folder / "case.json").read_text())["pair"])


def _write(folder: Path, seed: int) -> None:
    words = [f"w{i}" for i in range(WORDS)]
    drawn = random.Random(seed).sample(words, 2 * (TOKENS - 1))
    tokenizer = word_tokenizer(words)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=D_MODEL,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=TOKENS + 1,  # an answer is asked for behind the prompt
        bos_token_id=BOS,
        eos_token_id=EOS,
        initializer_range=SPREAD,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # zero as they are made, which would hide that one was forgotten
                torch.nn.init.normal_(parameter, std=SPREAD)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    texts = {"base": " ".join(drawn[: TOKENS - 1]), "corrupted": " ".join(drawn[TOKENS - 1 :])}
    ids = {kind: tokenizer(text)["input_ids"] for kind, text in texts.items()}
    with torch.no_grad():
        base, corrupted = (model.eval()(torch.tensor([row])).logits[0, -1] for row in ids.values())
    # The words that the counterfactual moves furthest apart: a share of a small gap would be mostly rounding.
    moved = (base - corrupted)[len(SPECIAL) :]
    asked = [int(place) + len(SPECIAL) for place in (moved.argmax(), moved.argmin())]
    answer, foil = tokenizer.convert_ids_to_tokens(asked)
    case = {"pair": texts | {"answer": answer, "foil": foil}, "token_ids": ids, "answers": asked}
    (folder / "case.json").write_text(json.dumps(case, indent=1))
