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
    planner: Literal["protocol", "llm"] = Field(
        default="protocol",
        description="Who plans: protocol, a fixed course for each form of question; llm, the language model.",
    )
    planner_url: str = Field(
        default="", description="Base URL of an OpenAI-compatible endpoint; empty where there is none."
    )
    planner_model: str = Field(default="", description="Language model to ask there.")
    planner_key: SecretStr = Field(default=SecretStr(""), description="Key for it; an endpoint here may need none.")
    planner_room: int = Field(
        default=24_000, ge=6_000, description="Most that is sent to it (tokens); it must read a quarter more."
    )
    planner_timeout: float = Field(default=120, gt=0, description="Longest wait for each of its answers (seconds).")
    planner_price_in: float = Field(default=0, ge=0, description="What a million tokens sent to it cost.")
    planner_price_out: float = Field(default=0, ge=0, description="What a million tokens that it writes cost.")
    approve: Literal["none", "plan", "each"] = Field(
        default="none",
        description="What a person has to approve: nothing; predictions before they are sealed; each experiment too.",
    )
    budget: str = Field(default="", description="What a run may spend, as calls=60,tokens=1000000,seconds=600.")
    refute: Literal["off", "protocol", "llm"] = Field(
        default="off",
        description="Who tries to break supported claims: nobody; protocol, prompts taken by code; llm, prompts worded "
        "by the language model.",
    )
    refute_attempts: int = Field(default=2, ge=1, le=20, description="Most attempts on each claim (count).")
    writer: Literal["off", "llm"] = Field(
        default="off", description="Who words the answer beside code: nobody, or the language model."
    )
    blind: Literal["off", "arms", "names", "both", "compare"] = Field(
        default="off",
        description="What is hidden from a language model that plans: nothing; arms, which of two effects is the "
        "place's and which a random control's; names, which layer and head is which; both. With compare it plans "
        "twice, names hidden and then shown.",
    )
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
