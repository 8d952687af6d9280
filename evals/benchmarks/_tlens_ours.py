"""Our sweep of heads and positions as a process that answers one line for each line, as TransformerLens' does.

Besides `run` and `effects`: `products`, the multiplications of matrix products in one sweep; `rate`, how many the
machine does in a second of a large product.
"""

import json
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from ...tools import get_tool, load_subject
from ._process_cost import timed
from ._served_lines import run_served, serve

SIDE = 1024  # of the square matrices that measure the machine's rate
PRODUCTS_TIMED = 10


def main(request: dict[str, Any], answers: TextIO) -> None:
    """Load, and serve lines until there are none."""
    case = Path(request["case"])
    pair = json.loads((case / "case.json").read_text())["pair"]
    subject = load_subject(str(case / "model"), device="cpu")
    torch.set_num_threads(request["threads"])  # loading a small model sets it to one
    tool = get_tool("patch_sweep")
    asked = tool.parse({"pairs": [pair], "kinds": ["head"]})
    effects = torch.zeros(0)

    def answer(word: str) -> dict[str, Any]:
        nonlocal effects
        match word:
            case "run":
                result, cost = timed(lambda: tool(subject, asked))
                effects = torch.tensor(result.grids[0].effect)
                return {"cpu_s": cost.cpu_s, "wall_s": cost.wall_s}
            case "effects":
                path = Path(request["out"]) / "effects.safetensors"
                save_file({"effects": effects}, path)
                return {"path": str(path)}
            case "products":
                with FlopCounterMode(display=False) as counted:
                    tool(subject, asked)
                return {"products": counted.get_total_flops() / 2}
            case "rate":
                return {"per_s": _rate()}
        raise ValueError(f"no such line: {word}")

    serve({"logits_differ": 0.0, "active": 0}, answer, answers)


def _rate() -> float:
    square = torch.randn(SIDE, SIDE)
    cost = timed(lambda: [square @ square for _ in range(PRODUCTS_TIMED)])[1]
    return PRODUCTS_TIMED * SIDE**3 / cost.cpu_s


if __name__ == "__main__":
    run_served(main)
