"""Tiny random subjects of every family: no download, no GPU, well under a second each."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models are tiny, and two processes of tests share the machine

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)
from vesalius.tools import Subject

WORDS = ["<pad>", "<bos>", "<unk>", *[f"w{i}" for i in range(37)]]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
}
# Window, caps and the scaling of queries are so small that they matter. SiLU, because single precision rounds GELU of
# less than -5 to zero, and tests count every neuron as active.
GEMMA = {
    "num_key_value_heads": 2,
    "head_dim": 8,
    "hidden_activation": "silu",
    "query_pre_attn_scalar": 3,
    "sliding_window": 3,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
CONFIGS = {
    "gpt2": lambda: GPT2Config(vocab_size=len(WORDS), n_embd=24, n_layer=3, n_head=4, n_positions=32),
    "llama": lambda: LlamaConfig(**SIZES, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "mistral": lambda: MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=3),
    "qwen2": lambda: Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": lambda: Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma2": lambda: Gemma2Config(**SIZES, **GEMMA, attn_logit_softcapping=1.5, final_logit_softcapping=4.0),
    "gemma3_text": lambda: Gemma3TextConfig(**SIZES, **GEMMA),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES, use_parallel_residual=True),
    "gpt_neox_sequential": lambda: GPTNeoXConfig(**SIZES, use_parallel_residual=False),
}
FAMILIES = tuple(CONFIGS)
EXTERNAL_DATA = Path(os.environ.get("VESALIUS_EXTERNAL_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word, `<bos>` in front."""
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        unk_token="<unk>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )


def random_model(family: str, seed: int = 0, spread: float = 0.3) -> torch.nn.Module:
    """Random weights, wide enough that every part of the model matters to the logits."""
    config = CONFIGS[family]()
    config.initializer_range = spread
    config.tie_word_embeddings = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
        for name, parameter in model.named_parameters():
            # Biases and weights stored less one: zero at initialisation, which would hide that one was forgotten.
            if name.endswith("bias") or not parameter.any():
                torch.nn.init.normal_(parameter, std=spread)
    return model


_SUBJECTS: dict[tuple[str, int], Subject] = {}


def make_subject(family: str, seed: int = 0) -> Subject:
    """A random subject, made once per session."""
    torch.set_num_threads(1)
    if (family, seed) not in _SUBJECTS:
        _SUBJECTS[family, seed] = Subject(random_model(family, seed), word_tokenizer(), f"random-{family}", None, None)
    return _SUBJECTS[family, seed]


@pytest.fixture(params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Every family in turn."""
    return make_subject(request.param)


@pytest.fixture
def subject_of() -> Callable[..., Subject]:
    """Makes a subject of a named family."""
    return make_subject


@pytest.fixture(scope="session")
def atlas() -> Subject:
    """The reference model that ships with the package."""
    from vesalius.tools import load_subject

    return load_subject("atlas", device="cpu")


@pytest.fixture
def external() -> Path:
    """Folder of real models and data; the test is skipped where it is absent."""
    if not EXTERNAL_DATA.is_dir():
        pytest.skip(f"no external data at {EXTERNAL_DATA}; set VESALIUS_EXTERNAL_DATA")
    return EXTERNAL_DATA
