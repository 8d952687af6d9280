"""Probes as a good language model would write them for the reference model: from the request alone, in its words."""

import json
from typing import Any

from scripted_endpoint import says


def concept(label: str, description: str) -> dict[str, str]:
    return {"label": label, "category": "place", "description": description}


def written(state: str, capital: str, cities: list[str]) -> list[dict[str, str]]:
    """Sixteen texts: most for the state and the capital, some for the words that ask."""
    one, two = (cities * 2)[:2]
    return [
        concept(state, f"the state containing {one}"),
        concept(state, f"the state containing {two}"),
        concept(state, f"{one} lies in the state of"),
        concept(state, f"people like {two} because"),
        concept(state, "the name of the state"),
        concept(capital, f"the capital of the state containing {one}"),
        concept(capital, f"the capital of the state containing {two}"),
        concept(capital, f"{one} lies in a state whose capital"),
        concept(capital, f"{two} lies in a state whose capital"),
        concept(capital, f"the capital of {state}"),
        concept(capital, f"{state} has a capital called"),
        concept(capital, f"the state where {two} lies"),
        concept("capital", f"{capital} was the"),
        concept("capital", f"{two} is not the"),
        concept("state", f"{two} is a city in a"),
        concept("state", f"{one} belongs to a"),
    ]


def writer(rows: list[dict[str, str]]):
    """Answers a request for probes from what rows of a task say of its prompt."""

    def answer(asked: dict[str, Any]) -> tuple[int, str]:
        about = json.loads(asked["messages"][1]["content"])
        state = next(row["state"] for row in rows if row["capital"] == about["target"])
        own = [row["city"] for row in rows if row["city"] in about["prompt"].split()]
        known = [row["city"] for row in rows if row["state"] == state and row["city"] in about["words"]]
        return says(written(state, about["target"], list(dict.fromkeys([*own, *known]))))

    return answer
