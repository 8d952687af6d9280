"""The model under study: load it, tokenise, run it once while reading and writing any named site.

A subject is untrusted: weights come from safetensors alone, and no code of a model's repository runs.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoModelForCausalLM

from ._architectures import Architecture, adapter_for
from ._base import SubjectKey, ToolError, canonical
from ._block_parts import BlockWeights, Norm
from ._hooks import Edit, hooked
from ._loading import load_weights, usable_device
from ._proof import prove
from ._reader import Reader, Tokens
from ._sites import Site, parse_site, refuse_read_only
from ._tasks import TaskFamily, load_tasks, load_texts

REFERENCE_FOLDER = Path(__file__).parent / "reference"
LARGEST_LOGITS = 2**28  # of one pass: 1 GiB in single precision
SMALL_MODEL_PARAMETERS = 50_000_000  # below this a second thread costs more than it brings (measured)


@dataclass(frozen=True)
class Shape:
    """Sizes of a subject (counts)."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    n_vocab: int
    n_ctx: int
    parallel: bool


@dataclass(frozen=True)
class Run:
    """One forward pass."""

    logits: Float[Tensor, "batch pos vocab"]
    tokens: Tokens
    sites: dict[str, Tensor] = field(default_factory=dict)

    @property
    def last_logits(self) -> Float[Tensor, "batch vocab"]:
        """Logits after each prompt's last token, in single precision at least."""
        rows = torch.arange(len(self.tokens.lengths), device=self.logits.device)
        last = self.logits[rows, self.tokens.last]
        return last.to(torch.promote_types(last.dtype, torch.float32))


class Subject:
    """A causal language model with named sites, proved at load to be what its adapter says."""

    def __init__(self, model: Any, tokenizer: Any, name: str, folder: Path | None, reinit_seed: int | None) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.folder = folder
        self.reinit_seed = reinit_seed
        self.architecture: Architecture = adapter_for(model)
        self.device: torch.device = model.device
        prove(self)

    @cached_property
    def key(self) -> SubjectKey:
        """Which weights these are. A twin carries the fingerprint of the model that it is a twin of."""
        return SubjectKey(model=self.name, fingerprint=self._fingerprint, reinit_seed=self.reinit_seed)

    @cached_property
    def _fingerprint(self) -> str:
        if self.reinit_seed is not None:
            raise AssertionError("a twin gets its fingerprint from its original")
        seen = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            seen.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            seen.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        config = {k: v for k, v in self.model.config.to_dict().items() if k not in _CONFIG_THAT_IS_NO_MODEL}
        seen.update(canonical(config).encode())
        tokenizer = json.loads(self.tokenizer.backend_tokenizer.to_str())
        seen.update(canonical({k: v for k, v in tokenizer.items() if k not in _TOKENIZER_STATE}).encode())
        return seen.hexdigest()

    @cached_property
    def shape(self) -> Shape:
        """Sizes of the subject."""
        config, first = self.model.config, self.weights(0)
        return Shape(
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            n_kv_heads=self.architecture.n_kv_heads(),
            d_model=config.hidden_size,
            d_head=first.W_V.shape[-1],
            d_mlp=first.W_down.shape[0],
            n_vocab=self.W_U.shape[-1],
            n_ctx=config.max_position_embeddings,
            parallel=self.architecture.parallel,
        )

    @property
    def shared_by(self) -> int:
        """Query heads that read the same keys and values (count); 1 without grouped queries."""
        return self.shape.n_heads // self.shape.n_kv_heads

    @property
    def W_E(self) -> Float[Tensor, "vocab d_model"]:
        """Token embedding as the stream gets it: a new matrix at each call where the family scales it."""
        scale, table = self.architecture.embedding_scale, self._embedding_table
        return table if scale == 1 else table * scale

    @property
    def _embedding_table(self) -> Float[Tensor, "vocab d_model"]:
        return self.model.get_input_embeddings().weight

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """The rows of `W_E` for these tokens."""
        return self._embedding_table[ids] * self.architecture.embedding_scale

    @property
    def W_U(self) -> Float[Tensor, "d_model vocab"]:
        """Unembedding, without the cap that may follow (`logit_softcap`); no supported family has a bias here."""
        return self.model.get_output_embeddings().weight.T

    @property
    def logit_softcap(self) -> float | None:
        """c where the model's logits are c * tanh(x / c) of what `W_U` gives (nats); none without a cap."""
        return self.architecture.logit_softcap

    @property
    def final_norm(self) -> Norm:
        """The norm before the unembedding."""
        return self.architecture.final_norm()

    def weights(self, layer: int) -> BlockWeights:
        """Weights of one block under our names."""
        return self.architecture.weights(layer)

    @cached_property
    def tasks(self) -> tuple[TaskFamily, ...]:
        """Prompt families with known answers that came with the model; none for most models."""
        return load_tasks(self.folder) if self.folder else ()

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Neutral sentences that came with the model; none for most models."""
        return load_texts(self.folder) if self.folder else ()

    def site(self, name: str) -> Site:
        """The site of that name; a `ToolError` where this subject lacks it."""
        site = parse_site(name, self.shape.n_layers, self.shape.n_heads, self.shape.n_kv_heads)
        if site.kind == "resid_mid" and self.shape.parallel:
            raise ToolError(
                f"`{site}` does not exist: attention and MLP of this model run in parallel.",
                mend="Use resid_pre, resid_post, attn_out or mlp_out.",
            )
        return site

    @cached_property
    def reader(self) -> Reader:
        """Its tokenizer."""
        return Reader(self.tokenizer, self.shape.n_ctx, len(self._embedding_table), self.device)

    def tokenise(self, prompts: Sequence[str]) -> Tokens:
        """Token ids of prompts, with the special tokens that the tokenizer itself puts in front.

        Raises:
            ToolError: an empty prompt, a word that the vocabulary lacks, or more tokens than the subject can read.
        """
        return self.reader.tokenise(prompts)

    def token_strings(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each token as text, with the spaces it stands for."""
        return self.reader.token_strings(ids)

    def answer_token(self, prompt: str, answer: str) -> int:
        """The one token that writes `answer` after `prompt`.

        Raises:
            ToolError: the tokenizer needs several tokens for it, or the vocabulary lacks it.
        """
        return self.reader.answer_token(prompt, answer)

    def run(self, tokens: Tokens, read: Sequence[str] = (), write: Mapping[str, Edit] | None = None) -> Run:
        """One forward pass over a batch, reading sites and writing sites on the way.

        Reads see what was written. An edit gets the whole batch's value of its site and must return the same shape.
        """
        wanted = {name: self.site(name) for name in read}
        edits = {self.site(name): edit for name, edit in (write or {}).items()}
        refuse_read_only(edits)
        with torch.no_grad(), hooked(self.architecture, self.shape.d_head, set(wanted.values()), edits) as seen:
            logits = self.model(tokens.ids, use_cache=False).logits
        return Run(logits=logits, tokens=tokens, sites={name: seen[site] for name, site in wanted.items()})

    def passes(self, tokens: Tokens) -> Iterator[tuple[slice, Tokens]]:
        """A batch in parts whose logits fit in memory."""
        n_rows, n_pos = tokens.ids.shape
        size = max(1, LARGEST_LOGITS // (n_pos * self.shape.n_vocab))
        for start in range(0, n_rows, size):
            rows = slice(start, start + size)
            yield rows, tokens.take(rows)

    def last_logits(
        self, tokens: Tokens, write: Callable[[slice], Mapping[str, Edit]] = lambda rows: {}
    ) -> Float[Tensor, "batch vocab"]:
        """Logits after each prompt's last token, in as many passes as memory asks for.

        Args:
            write: The edits for some rows of the batch.
        """
        return torch.cat([self.run(part, write=write(rows)).last_logits for rows, part in self.passes(tokens)])

    def twin(self, seed: int) -> "Subject":
        """The same architecture with freshly initialised weights: what was never learned, it cannot show."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # The type is said here, not cast to: a cast would round the frequencies of rotary positions too.
            options = {"attn_implementation": "eager", "dtype": self.model.dtype}
            model = AutoModelForCausalLM.from_config(self.model.config, **options)
        twin = Subject(model.to(self.device), self.tokenizer, self.name, self.folder, reinit_seed=seed)
        twin.__dict__["_fingerprint"] = self._fingerprint
        return twin


_CONFIG_THAT_IS_NO_MODEL = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")
_TOKENIZER_STATE = ("padding", "truncation")  # set by calls, not part of the tokenizer


def reference_models() -> tuple[str, ...]:
    """Names of the models that ship with the package."""
    return tuple(sorted(p.name for p in REFERENCE_FOLDER.iterdir() if (p / "config.json").is_file()))


def load_subject(
    name: str, device: str = "auto", dtype: torch.dtype = torch.float32, download: bool = False
) -> Subject:
    """Load a causal language model by reference name, folder, or hub id.

    Args:
        name: a name from `reference_models()`, a folder with config.json and safetensors, or a hub id, of which
            `ORG/REPO@REVISION` is one branch, tag or commit.
        device: `auto` takes a GPU where there is one.
        dtype: element type of weights and activations.
        download: whether a hub id may be fetched; without it only the local cache is read.

    Raises:
        ToolError: unknown model, a device that is not there, no safetensors, an unsupported family, or parts that do
            not rebuild its logits.
    """
    folder = REFERENCE_FOLDER / name if name in reference_models() else Path(name)
    device = usable_device(device)
    mend = (
        f"Reference models: {', '.join(reference_models())}. Or give the folder of a model (config.json, tokenizer and "
        "safetensors), or a hub id (ORG/REPO, or ORG/REPO@REVISION), with `--download` where it was not fetched before."
    )
    model, tokenizer = load_weights(name, str(folder) if folder.is_dir() else name, dtype, download, mend)
    if device == "cpu" and model.num_parameters() < SMALL_MODEL_PARAMETERS:
        torch.set_num_threads(1)
    return Subject(model.to(device), tokenizer, name, folder if folder.is_dir() else None, reinit_seed=None)
