"""Every knob of a run: read once in the entry point, passed down as plain values.

Imported lazily by the command line, because pydantic-settings takes longer to import than help takes to print.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .failing import SettingError


class Settings(BaseSettings):
    """Settings from the environment (`VESALIUS_…`); the command line overrides them."""

    model_config = SettingsConfigDict(env_prefix="VESALIUS_", frozen=True, extra="ignore")

    model: str = Field(default="atlas", description="Model under study: a reference name, a folder, or a hub id.")
    home: Path = Field(Path.home() / ".vesalius", description="Folder of runs and memory.")
    memory: str = Field(default="", description="URL of a chromadb server; empty for the embedded store under home.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Where to run the model.")
    seed: int = Field(default=0, ge=0, description="Seed of everything random in a run.")
    planner_url: str = Field(
        default="", description="Base URL of an OpenAI-compatible endpoint; empty where there is none."
    )
    planner_model: str = Field(default="", description="Language model to ask there.")
    planner_key: SecretStr = Field(default=SecretStr(""), description="Key for it; an endpoint here may need none.")
    probes: Literal["protocol", "llm"] = Field(
        default="protocol",
        description="Who writes probe prompts: protocol, from task data and texts; llm, the language model.",
    )


def read_settings(**given: Any) -> Settings:
    """Settings from the environment, overridden by what the command line gave.

    Raises:
        SettingError: a value that is not allowed; the message says which are.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        if name == "planner_key":
            raise SettingError(f"Setting `{name}` cannot be used: {problem['msg']}.") from None
        raise SettingError(f"Setting `{name}` is {problem['input']!r}. {problem['msg']}.") from error
