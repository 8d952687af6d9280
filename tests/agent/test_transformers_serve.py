"""A real server with a tiny random model plans: it talks nonsense, and the run ends with a report all the same."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from planned_runs import begun, copying, true_head
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from vesalius.agent.asking import Where, ask, desk_for
from vesalius.agent.planners.llm_consulting import Consultant
from vesalius.agent.planners.llm_endpoint import Endpoint
from vesalius.agent.report.schema import read_report
from vesalius.tools import one_thread

NEEDED = ("accelerate", "fastapi", "uvicorn")
ABSENT = [name for name in NEEDED if find_spec(name) is None]
COMMAND = shutil.which("transformers", path=str(Path(sys.executable).parent))
PATIENCE = 120  # seconds until it answers at all
N_CONTEXT = 16_384  # tokens
WORDS = (
    "patch",
    "finish",
    "predict",
    "proven",
    "{",
    "}",
    '"call":',
    '"arguments":',
    '"finish"',
    "head.0.0",
    "0.97",
    ",",
)
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(ABSENT) or COMMAND is None, reason=f"`transformers serve` needs {NEEDED}"),
]


def nonsense(folder: Path) -> Path:
    """A model of random weights that knows a few words, and nothing of what they mean."""
    words = ["<eos>", "<unk>", *WORDS]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<eos>", unk_token="<unk>")
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=N_CONTEXT,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    # Whatever it is sent, it ends soon and says little.
    assert model.generation_config is not None
    model.generation_config.max_new_tokens = 24
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = nonsense(tmp_path_factory.mktemp("nonsense"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    log = (folder / "log.txt").open("w")
    assert COMMAND is not None
    server = subprocess.Popen(
        [COMMAND, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env={**os.environ, **offline},
        stdout=log,
        stderr=log,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/health", server, folder / "log.txt")
        yield Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model=str(folder), timeout_s=60)
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(2 * PATIENCE):
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


def test_a_planner_that_talks_nonsense_is_survived(served: Endpoint, tmp_path: Path):
    one, pairs = copying()
    subject, where, events = one.organism.subject, Where(tmp_path, use_memory=False), []
    folder = begun(tmp_path, subject, pairs, by=served.model)
    with one_thread(), desk_for(where, subject, folder, consultant=Consultant(lambda: served, served.model)) as desk:
        ask(desk, events.append)
    said = [event for event in events if event["event"] == "said"]
    report = read_report(folder.path / "report.json")
    assert any(event["content"] for event in said)
    assert report.planning is not None
    assert report.planning.finished_by_protocol
    supported = [c.prediction.arms[0].args["sites"][0] for c in report.claims if c.judgement.verdict == "supported"]
    assert true_head() in supported
