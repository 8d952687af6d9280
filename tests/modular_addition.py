"""Grokked addition modulo 113 as a GPT-2, and the waves that such models add with.

The model reads `a b =` and says (a + b) mod 113. It was trained elsewhere, has one block, and no layer norm. Nanda et
al. 2023, "Progress measures for grokking via mechanistic interpretability": such a model turns numbers into waves of a
few frequencies and makes of them waves of the sum, cos(w(a + b)) and sin(w(a + b)) with w = 2 pi k / 113.

A GPT-2 computes the same: layer norm is the identity where its epsilon is huge, its gain the root of that, and the
stream's mean zero, which one dimension sees to that holds less the sum of all others. Three more make the width divide
by the heads. The unembedding's bias, which GPT-2 lacks, is read off one of them, where the last norm's bias is one.
"""

from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from vesalius.tools import Subject

MODULUS = 113
EQUALS = MODULUS  # the token
FREQUENCIES = range(1, MODULUS // 2 + 1)
LEAST_SHARE = 0.01  # of what the MLP says: a frequency with less carries nothing that a test could see
N_JUDGED = 2048  # sums that ablations are judged on
HUGE = 1e12
WIDTH, WIDE, HEADS, D_HEAD, D_MLP = 128, 132, 4, 32, 512
BALANCE, ONE = WIDTH, WIDTH + 1  # the dimension that keeps the mean zero, and the one that the logits' bias is read off

Weights = dict[str, Tensor]


def weights(folder: Path, seed: int) -> Weights:
    """The model as it was trained."""
    stored = load_file(folder / f"seed{seed}.safetensors")
    return {name.removeprefix("blocks.0."): tensor for name, tensor in stored.items()}


def sums() -> Int[Tensor, "batch pos"]:
    """Tokens of all sums, by the first number and then by the second."""
    numbers = torch.arange(MODULUS)
    return torch.cat([torch.cartesian_prod(numbers, numbers), torch.full((MODULUS**2, 1), EQUALS)], 1)


def own_logits(w: Weights, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch vocab"]:
    """What the model itself says after the last token."""
    resid = w["embed.W_E"][ids] + w["pos_embed.W_pos"]
    q = einsum(resid[:, -1], w["attn.W_Q"], "batch model, head model dim -> batch head dim") + w["attn.b_Q"]
    k = einsum(resid, w["attn.W_K"], "batch pos model, head model dim -> batch pos head dim") + w["attn.b_K"]
    v = einsum(resid, w["attn.W_V"], "batch pos model, head model dim -> batch pos head dim") + w["attn.b_V"]
    pattern = (einsum(q, k, "batch head dim, batch pos head dim -> batch head pos") / D_HEAD**0.5).softmax(-1)
    heads = einsum(pattern, v, "batch head pos, batch pos head dim -> batch head dim")
    mid = resid[:, -1] + einsum(heads, w["attn.W_O"], "batch head dim, head dim model -> batch model") + w["attn.b_O"]
    neurons = (mid @ w["mlp.W_in"] + w["mlp.b_in"]).relu()
    return (mid + neurons @ w["mlp.W_out"] + w["mlp.b_out"]) @ w["unembed.W_U"] + w["unembed.b_U"]


def _config() -> GPT2Config:
    return GPT2Config(
        vocab_size=MODULUS + 1,
        n_positions=3,
        n_embd=WIDE,
        n_layer=1,
        n_head=HEADS,
        n_inner=D_MLP,
        activation_function="relu",
        layer_norm_epsilon=HUGE,
        tie_word_embeddings=False,
        bos_token_id=EQUALS,
        eos_token_id=EQUALS,
        attn_implementation="eager",
    )


def as_gpt2(w: Weights) -> GPT2LMHeadModel:
    """The same model as a GPT-2."""
    with torch.random.fork_rng(devices=[]):  # it draws weights, all of which are replaced
        model = GPT2LMHeadModel(_config())
    body, block = model.transformer, model.transformer.h[0]
    scale = (WIDE / HEADS / D_HEAD) ** 0.5  # GPT-2 divides by the root of its own, wider, heads
    with torch.no_grad():
        for norm in (block.ln_1, block.ln_2, body.ln_f):
            norm.weight.fill_(HUGE**0.5)
        body.ln_f.bias[ONE] = 1
        body.wte.weight.copy_(_balanced(w["embed.W_E"]))
        body.wpe.weight.copy_(_balanced(w["pos_embed.W_pos"]))
        looks = [("Q", scale), ("K", 1.0), ("V", 1.0)]
        block.attn.c_attn.weight.copy_(torch.cat([_into_heads(w[f"attn.W_{x}"]) * by for x, by in looks], 1))
        block.attn.c_attn.bias.copy_(torch.cat([_wider(w[f"attn.b_{x}"]).flatten() * by for x, by in looks]))
        block.attn.c_proj.weight.copy_(
            _balanced(rearrange(_wider(w["attn.W_O"], 1), "head dim model -> (head dim) model"))
        )
        block.attn.c_proj.bias.copy_(_balanced(w["attn.b_O"]))
        block.mlp.c_fc.weight.copy_(_reading(w["mlp.W_in"]))
        block.mlp.c_fc.bias.copy_(w["mlp.b_in"])
        block.mlp.c_proj.weight.copy_(_balanced(w["mlp.W_out"]))
        block.mlp.c_proj.bias.copy_(_balanced(w["mlp.b_out"]))
        model.lm_head.weight.copy_(_reading(w["unembed.W_U"]).T)
        model.lm_head.weight[:, ONE] = w["unembed.b_U"]
    return model


def _balanced(written: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
    """What is written to the stream, as wide as it is now, with mean zero."""
    wide = pad(written, (0, WIDE - WIDTH))
    wide[..., BALANCE] = -written.sum(-1)
    return wide


def _reading(matrix: Float[Tensor, "d_model _"]) -> Float[Tensor, "d_model _"]:
    """A matrix that reads nothing of the dimensions that were added."""
    return pad(matrix, (0, 0, 0, WIDE - WIDTH))


def _wider(part: Tensor, axes_behind: int = 0) -> Tensor:
    """Heads as wide as GPT-2's; what is added is nothing."""
    return pad(part, (0, 0) * axes_behind + (0, WIDE // HEADS - D_HEAD))


def _into_heads(matrix: Float[Tensor, "head d_model d_head"]) -> Float[Tensor, "d_model _"]:
    return _reading(rearrange(_wider(matrix), "head model dim -> model (head dim)"))


def number_tokenizer() -> PreTrainedTokenizerFast:
    """One token per number, and one for `=`."""
    core = Tokenizer(models.WordLevel({**{str(n): n for n in range(MODULUS)}, "=": EQUALS}, unk_token="="))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="=", pad_token="=", clean_up_tokenization_spaces=False
    )


class Judged(NamedTuple):
    """How the model adds."""

    accuracy: float
    loss: float  # nats


class Addition:
    """One such model, and what its MLP writes after `=` on all sums."""

    def __init__(self, w: Weights, name: str) -> None:
        self.w = w
        self.subject = Subject(as_gpt2(w), number_tokenizer(), name, None, None)
        self.ids = sums()
        self.due: Int[Tensor, " batch"] = self.ids[:, :2].sum(1) % MODULUS
        self.tokens = self.subject.tokenise(list(map(prompt, self.ids.tolist())))
        run = self.subject.run(self.tokens, read=["mlp_out.0"])
        self.logits: Float[Tensor, "batch vocab"] = run.last_logits
        self.mlp_out: Float[Tensor, "batch d_model"] = run.sites["mlp_out.0"][:, -1]
        drawn = torch.randperm(len(self.ids), generator=torch.Generator().manual_seed(0))[:N_JUDGED]
        self._judged: Int[Tensor, " batch"] = drawn
        self._judged_tokens = self.subject.tokenise([prompt(row) for row in self.ids[drawn].tolist()])

    def written(self, numbers: Int[Tensor, " batch"] | None = None) -> Float[Tensor, "_ _ d_model"]:
        """By frequency, what the MLP writes along cos and sin of the sum: a vector for each.

        Args:
            numbers: What counts as the sum; the sum itself where nothing is given.
        """
        basis = waves(self.due if numbers is None else numbers)
        return einsum(basis, self.mlp_out, "k wave batch, batch model -> k wave model") * 2 / len(self.ids)

    def shares(self, numbers: Int[Tensor, " batch"] | None = None) -> Float[Tensor, " _"]:
        """By frequency, how much of what the MLP says of the numbers is its wave of the sum (share of variance)."""
        said = self.subject.W_U[:, :MODULUS]
        every = ((self.mlp_out - self.mlp_out.mean(0)) @ said).square().mean(0).sum()
        return (self.written(numbers) @ said).square().sum((1, 2)) / 2 / every

    @cached_property
    def key(self) -> tuple[int, ...]:
        """The frequencies that carry the sum."""
        return tuple(k for k, share in zip(FREQUENCIES, self.shares().tolist(), strict=True) if share >= LEAST_SHARE)

    @cached_property
    def others(self) -> tuple[int, ...]:
        """The frequencies that do not."""
        return tuple(k for k in FREQUENCIES if k not in self.key)

    def embedded(self) -> Float[Tensor, " _"]:
        """By frequency, how much of it the embedding has of the numbers (share)."""
        transformed = torch.fft.rfft(self.w["embed.W_E"][:MODULUS], dim=0)[1:]
        power = transformed.abs().square().sum(1)
        return power / power.sum()

    def part(self, frequencies: Iterable[int]) -> Float[Tensor, "batch d_model"]:
        """What the MLP writes of waves of the sum of these frequencies."""
        rows = [k - 1 for k in frequencies]
        return einsum(waves(self.due)[rows], self.written()[rows], "k wave batch, k wave model -> batch model")

    def basis(self, frequencies: Iterable[int]) -> Float[Tensor, "feature d_model"]:
        """Orthonormal directions that the MLP writes these waves along; two waves can share one."""
        directions = rearrange(self.written()[[k - 1 for k in frequencies]], "k wave model -> (k wave) model")
        _, lengths, right = torch.linalg.svd(directions, full_matrices=False)
        return right[lengths > 1e-2 * lengths[0]]

    def judged(self, mlp_out: Float[Tensor, "batch d_model"]) -> Judged:
        """How the model adds, on some of all sums, if its MLP writes this after `=`."""
        mine = mlp_out[self._judged]

        def write(current: Tensor) -> Tensor:
            written = current.clone()
            written[:, -1] = mine
            return written

        logits = self.subject.run(self._judged_tokens, write={"mlp_out.0": write}).last_logits
        due = self.due[self._judged]
        return Judged((logits.argmax(-1) == due).float().mean().item(), cross_entropy(logits, due).item())


def prompt(row: Sequence[int]) -> str:
    """The sum of two numbers as the model reads it."""
    return f"{row[0]} {row[1]} ="


def waves(numbers: Int[Tensor, " batch"]) -> Float[Tensor, "_ _ batch"]:
    """By frequency, cos and sin of numbers on the circle of 113."""
    turns = torch.outer(torch.tensor(FREQUENCIES), numbers) % MODULUS  # exact, where an angle would be rounded
    angles = 2 * torch.pi / MODULUS * turns
    return torch.stack([angles.cos(), angles.sin()], 1)


@cache
def addition(folder: Path, seed: int) -> Addition:
    """The model of one seed."""
    return Addition(weights(folder, seed), f"addition-{seed}")
