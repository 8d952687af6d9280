"""A program's weights in a stock GPT-2.

Two things make the stock model exact. `layer_norm_epsilon` is 1e8 and every norm's gain 1e4, so a norm only takes the
mean away, to single precision's last digit. And every label of every variable has a direction of its own in a randomly
rotated orthonormal basis whose other vectors are orthogonal to the vector of ones, so that there is no mean to take
away and nothing is aligned with the basis of the stream, of a head or of the neurons of a channel.

Heads and neurons that the program leaves over are alive: they read everything, attend by content, and write to
directions that nothing of the program reads; with `leak` also a little to those that the output reads.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ._compile_neurons import ChannelVectors, Row, channel_rows, lookup_rows, n_neurons, piece_rows
from ._compile_place import Layout
from ._compile_program import ALWAYS, POSITIONS, TOKENS, Attend, Channel, Lookup, Pieces, Program
from ._tokenizer import BOS, EOS, PAD, SPECIAL

EPSILON, GAIN = 1e8, 1e4  # of every norm: sqrt(1e8 + variance) / 1e4 is 1
GATE = 2.0  # how far a present variable lifts the first position, in selections
LIVE_NEURONS = 24  # of every MLP, beside the program's (count)
LIVE_SCORE = 1.5  # spread of a distractor's attention scores
LIVE_OUTPUT = 0.25  # size of what a distractor writes, as a share of what it reads
NEVER_SAID = -0.25  # logit of the special tokens, as a share of the answer's
TYPICAL_READ = 1.6  # norm of what a distractor reads: a word, a position and part of a variable


@dataclass(frozen=True)
class Style:
    """What may differ between two models of one program."""

    leak: float = 0.0  # about what one distractor adds to the logits, as a share of the answer's height
    sharpness: float = 36.0  # score of a selected position (nats)
    height: float = 12.0  # logit of the answer (nats)


class Writer:
    """Weights of one program at one layout, drawn from one seed."""

    def __init__(self, program: Program, layout: Layout, style: Style, seed: int) -> None:
        self.program, self.layout, self.style = program, layout, style
        self._generator = torch.Generator().manual_seed(seed)
        basis = self._rotation(layout.d_model, first=torch.ones(layout.d_model, dtype=torch.float64))[1:]
        columns = iter(basis)
        self.directions: dict[str, dict[str, Tensor]] = {
            name: dict(zip(program.domain(name), itertools.islice(columns, len(program.domain(name))), strict=True))
            for name in (TOKENS, POSITIONS, *program.by_name)
        }
        self.spare: Float[Tensor, "feature d_model"] = torch.stack(list(columns))
        self.said: Float[Tensor, "feature d_model"] = torch.stack(
            [
                # What leaks is a share of the answer's height, whatever height an amount of 1 would have.
                self.directions[output.variable][label] / max(abs(share) for _, share in said)
                for output in program.outputs
                for label, said in output.says.items()
            ]
        )
        self.channels: dict[str, ChannelVectors] = {}

    def model(self, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
        """The model, in evaluation mode and single precision."""
        neurons = [self._neurons(layer) for layer in range(self.layout.n_layers)]
        d_mlp = max(len(w_in) for w_in, _, _ in neurons)
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=self.program.length,
            n_embd=self.layout.d_model,
            n_layer=self.layout.n_layers,
            n_head=self.layout.n_heads,
            n_inner=d_mlp,
            activation_function="relu",
            layer_norm_epsilon=EPSILON,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=False,
            use_cache=False,
            bos_token_id=BOS,
            eos_token_id=EOS,
            pad_token_id=PAD,
        )
        with torch.random.fork_rng(devices=[]):
            model: Any = GPT2LMHeadModel._from_config(config, attn_implementation="eager", dtype=torch.float32)
        with torch.no_grad():
            self._embed(model)
            for layer, block in enumerate(model.transformer.h):
                self._attention(layer, block.attn)
                self._mlp(block.mlp, d_mlp, *neurons[layer])
            for name, parameter in model.named_parameters():
                if ".ln_" in name:
                    parameter.fill_(0.0 if name.endswith("bias") else GAIN)
        self._widen_channels(d_mlp)
        return model.eval()

    def _embed(self, model: Any) -> None:
        special = self._draw(len(SPECIAL), len(self.spare)) @ self.spare / len(self.spare) ** 0.5
        words = torch.stack(list(self.directions[TOKENS].values()))
        places = torch.stack(list(self.directions[POSITIONS].values()))
        model.transformer.wte.weight.copy_(torch.cat([special, words]))
        model.transformer.wpe.weight.copy_(places)
        unembedding = torch.zeros(len(SPECIAL) + len(words), self.layout.d_model, dtype=torch.float64)
        rows = {word: row for row, word in enumerate(self.program.words, start=len(SPECIAL))}
        for output in self.program.outputs:
            for label, words_said in output.says.items():
                for word, share in words_said:
                    unembedding[rows[word]] += share * self.directions[output.variable][label]
        for word, share in self.program.otherwise.items():
            unembedding[rows[word]] += share * places.sum(0)
        unembedding[: len(SPECIAL)] += NEVER_SAID * places.sum(0)
        model.lm_head.weight.copy_(self.style.height * unembedding)

    def _attention(self, layer: int, attention: Any) -> None:
        ours = {
            place.head: self.program.by_name[name]
            for name, place in self.layout.places.items()
            if place.layer == layer and place.head is not None
        }
        heads = []
        for head in range(self.layout.n_heads):
            operation = ours.get(head)
            heads.append(self._head(operation) if isinstance(operation, Attend) else self._live_head())
        queries, keys, values, outputs, biases = zip(*heads, strict=True)
        attention.c_attn.weight.copy_(torch.cat([*queries, *keys, *values], dim=1))
        attention.c_attn.bias.zero_()
        attention.c_attn.bias[: self.layout.d_model].copy_(torch.cat(biases))
        attention.c_proj.weight.copy_(torch.cat(outputs))
        attention.c_proj.bias.zero_()

    def _head(self, operation: Attend) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        d_model, d_head = self.layout.d_model, self.layout.d_head
        # Queries and keys share the score's strength; GPT-2 divides scores by the root of the head's width.
        strength = (self.style.sharpness * d_head**0.5) ** 0.5
        inner = iter(self._rotation(d_head))
        query, key, value = (torch.zeros(d_model, d_head, dtype=torch.float64) for _ in range(3))
        output, bias = torch.zeros(d_head, d_model, dtype=torch.float64), torch.zeros(d_head, dtype=torch.float64)
        if operation.key is not None:
            first = next(inner)
            bias += strength * operation.first * first
            key += strength * torch.outer(self.directions[POSITIONS]["0"], first)
            for name in operation.unless:
                for direction in self.directions[name].values():
                    query += strength * GATE * torch.outer(direction, first)
            found = {label: next(inner) for label in dict.fromkeys(label for _, label in operation.pairs)}
            for label, vector in found.items():
                key += strength * torch.outer(self.directions[operation.key][label], vector)
            for asked, label in operation.pairs:
                if operation.query is None:
                    assert asked == ALWAYS, f"{operation.name} has no query, but a pair asks for {asked!r}"
                    bias += strength * found[label]
                else:
                    query += strength * torch.outer(self.directions[operation.query][asked], found[label])
        carried = iter(self._rotation(d_head))
        places = {label: next(carried) for label in operation.domain}
        for label, (becomes, amount) in operation.carries.items():
            value += amount * torch.outer(self.directions[operation.value][label], places[becomes])
        for label, vector in places.items():
            output += torch.outer(vector, self.directions[operation.name][label])
        # What the program leaves of the head is alive too: a head that only ever wrote zeros would stand out.
        left = torch.stack(list(carried))
        value += self._draw(d_model, len(left)) / d_head**0.5 @ left
        output += left.T @ self._live_output(len(left))
        return query, key, value, output, bias

    def _live_head(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        d_model, d_head = self.layout.d_model, self.layout.d_head
        strength = (LIVE_SCORE * d_head) ** 0.5 / TYPICAL_READ
        query, key, value = (self._draw(d_model, d_head) / d_head**0.5 for _ in range(3))
        return strength * query, strength * key, value, self._live_output(d_head), torch.zeros(d_head)

    def _live_output(self, n_inputs: int) -> Float[Tensor, "feature d_model"]:
        """What distractors write: somewhere unread, and by the leak where the output reads."""
        unread = self._draw(n_inputs, len(self.spare)) @ self.spare / len(self.spare) ** 0.5 * LIVE_OUTPUT
        leaked = self._draw(n_inputs, len(self.said)) @ self.said / TYPICAL_READ * self.style.leak
        return unread + leaked

    def _neurons(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Input weights, biases and output weights of one MLP, a neuron a row."""
        rows = [
            row
            for name, place in self.layout.places.items()
            if place.layer == layer and place.head is None
            for row in self._rows(name)
        ]
        live_in = self._draw(LIVE_NEURONS, self.layout.d_model) / LIVE_NEURONS**0.5
        live_out = self._live_output(LIVE_NEURONS)
        ends = [live_in, self._draw(LIVE_NEURONS) * 0.1, live_out]
        ours = [torch.stack([torch.as_tensor(row[i], dtype=torch.float64) for row in rows]) for i in range(3) if rows]
        w_in, bias, w_out = (torch.cat(pair) for pair in zip(ours, ends, strict=True)) if rows else ends
        return w_in, bias, w_out

    def _rows(self, name: str) -> Iterator[Row]:
        operation = self.program.by_name[name]
        match operation:
            case Lookup():
                yield from lookup_rows(operation, self.directions)
            case Pieces():
                yield from piece_rows(operation, self.directions)
            case Channel():
                # Their first row is along the ones: both directions are orthogonal to what all neurons have in common.
                ones = torch.ones(operation.width, dtype=torch.float64)
                _, along, across = self._rotation(operation.width, first=ones)[:3]
                self.channels[name] = ChannelVectors(along, along if operation.onto is None else across)
                yield from channel_rows(operation, self.directions, self.channels[name])
            case Attend():
                raise AssertionError(f"{name} is a head")

    def _mlp(self, mlp: Any, d_mlp: int, w_in: Tensor, bias: Tensor, w_out: Tensor) -> None:
        mlp.c_fc.weight.zero_()
        mlp.c_proj.weight.zero_()
        mlp.c_fc.bias.zero_()
        mlp.c_proj.bias.zero_()
        mlp.c_fc.weight[:, : len(w_in)].copy_(w_in.T)
        mlp.c_fc.bias[: len(bias)].copy_(bias)
        mlp.c_proj.weight[: len(w_out)].copy_(w_out)

    def _widen_channels(self, d_mlp: int) -> None:
        """Channel vectors over all neurons of their MLP."""
        for layer in range(self.layout.n_layers):
            start = 0
            for name, place in self.layout.places.items():
                if place.layer != layer or place.head is not None:
                    continue
                if name in self.channels:
                    self.channels[name] = self.channels[name].padded(start, d_mlp)
                start += n_neurons(self.program.by_name[name])

    def _draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, dtype=torch.float64)

    def _rotation(self, size: int, first: Tensor | None = None) -> Float[Tensor, "feature d_model"]:
        """Random orthonormal rows; the first of them along a given vector."""
        drawn = self._draw(size, size)
        if first is not None:
            drawn[:, 0] = first
        return torch.linalg.qr(drawn).Q.T


def stacked(directions: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Float[Tensor, "feature d_model"]]:
    """Directions of each variable that has labels, a label a row, in single precision."""
    return {name: torch.stack(list(d.values())).float() for name, d in directions.items() if d}
