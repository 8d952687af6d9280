"""The shape of an argument that is given as JSON, made from the argument's own schema."""

import json
from typing import Any

from pydantic import BaseModel

PLACEHOLDERS: dict[str, Any] = {"string": "…", "integer": 1, "number": 0.5, "boolean": True}


def example_of(model: type[BaseModel], field: str) -> str:
    """JSON in the shape of a list or an object; nothing for an argument that is a plain value.

    What may be left out of an object is named behind it, so that the example itself is valid JSON.
    """
    schema = model.model_json_schema()
    known = schema.get("$defs", {})
    mine = _resolved(schema["properties"][field], known)
    if mine.get("type") not in ("array", "object"):
        return ""
    return json.dumps(_example(mine, known), ensure_ascii=False)


def may_hold(model: type[BaseModel], field: str) -> tuple[str, ...]:
    """What the objects of an argument may hold beside what they must."""
    schema = model.model_json_schema()
    known = schema.get("$defs", {})
    mine = _resolved(schema["properties"][field], known)
    item = _resolved(mine.get("items", mine), known)
    return tuple(name for name in item.get("properties", {}) if name not in item.get("required", ()))


def _resolved(schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A schema without references; of several forms the first that is not nothing."""
    if "$ref" in schema:
        return _resolved(known[schema["$ref"].rsplit("/", 1)[-1]], known)
    if "anyOf" in schema:
        return _resolved(next(form for form in schema["anyOf"] if form.get("type") != "null"), known)
    return schema


def _example(schema: dict[str, Any], known: dict[str, Any]) -> Any:
    schema = _resolved(schema, known)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        parts = schema.get("prefixItems") or [schema.get("items", {})]
        return [_example(part, known) for part in parts]
    if schema.get("type") == "object":
        return {name: _example(schema["properties"][name], known) for name in schema.get("required", ())}
    return PLACEHOLDERS.get(schema.get("type", "string"), "…")
