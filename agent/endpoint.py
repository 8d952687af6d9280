"""The language model that the settings name; what is missing in them is said before anything is measured or asked."""

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from .failing import SettingError
from .settings import Settings

if TYPE_CHECKING:
    from .planners.llm_endpoint import Endpoint


def endpoint_of(settings: Settings) -> "Endpoint":
    """Where the language model of these settings answers.

    Raises:
        SettingError: no address, no model, no key where one is due, or one of them malformed; the key is not shown.
    """
    from .planners.llm_endpoint import Endpoint, first_of, is_loopback

    if not settings.planner_url:
        raise SettingError(
            "No language model is set. Set VESALIUS_PLANNER_URL to an OpenAI-compatible endpoint such as "
            "http://127.0.0.1:8000/v1, and VESALIUS_PLANNER_MODEL to a model there."
        )
    if not settings.planner_model.strip():
        raise SettingError("VESALIUS_PLANNER_URL is set, but no model. Set VESALIUS_PLANNER_MODEL to a model there.")
    given: dict[str, Any] = {"base_url": settings.planner_url, "model": settings.planner_model.strip()}
    given["timeout_s"] = settings.planner_timeout
    if key := settings.planner_key.get_secret_value():
        given["api_key"] = SecretStr(key)
    try:
        endpoint = Endpoint.model_validate(given)
    except ValidationError as error:
        field = error.errors(include_input=False)[0]["loc"][0]
        name = {"base_url": "VESALIUS_PLANNER_URL", "model": "VESALIUS_PLANNER_MODEL"}.get(
            str(field), "VESALIUS_PLANNER_KEY"
        )
        problem = first_of(error).partition(": ")[2].removeprefix("Value error, ")
        raise SettingError(f"{name} cannot be used: {problem}. Set it to another.") from None
    if not key and not is_loopback(endpoint.base_url):
        raise SettingError(
            f"No key is set for {endpoint.shown}, which is not this machine. Set VESALIUS_PLANNER_KEY; a server that "
            "asks for none accepts any word."
        )
    return endpoint
