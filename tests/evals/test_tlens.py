"""The patching comparison: its case, our side as a process, and what is made of the turns."""

import json

import pytest
import torch
from transformers import GPT2LMHeadModel
from vesalius.evals.benchmarks import _tlens, _tlens_case
from vesalius.evals.benchmarks._process_cost import Timing
from vesalius.evals.benchmarks._tlens import OurSweep, heads_by_positions
from vesalius.evals.benchmarks._tlens_case import write_sweep_case


@pytest.fixture
def tiny(monkeypatch):
    for name, value in {"LAYERS": 2, "D_MODEL": 16, "HEADS": 2, "TOKENS": 5, "WORDS": 20}.items():
        monkeypatch.setattr(_tlens_case, name, value)


@pytest.mark.usefixtures("tiny")
def test_a_case_is_a_function_of_its_seed_and_all_its_words_differ(tmp_path):
    one, other = write_sweep_case(tmp_path / "a", 1), write_sweep_case(tmp_path / "b", 1)
    assert (one.model / "model.safetensors").read_bytes() == (other.model / "model.safetensors").read_bytes()
    assert (one.base, one.answer) == (other.base, other.answer)
    assert write_sweep_case(tmp_path / "a", 2).base != one.base
    assert not set(one.base.split()) & set(one.corrupted.split())
    assert one.answer != one.foil
    ids = json.loads((one.folder / "case.json").read_text())["token_ids"]
    assert [len(row) for row in ids.values()] == [5, 5]


@pytest.mark.usefixtures("tiny")
@pytest.mark.slow
def test_our_side_sweeps_what_hooks_on_the_stored_model_say(tmp_path):
    case = write_sweep_case(tmp_path, 3)
    with OurSweep(tmp_path, case) as ours:
        cost = ours.run()
        effects, products, rate = ours.effects(), ours.products(), ours.rate()
    assert effects.shape == (2, 2, 5)
    assert min(cost.cpu_s, products, rate) > 0
    assert effects[1, 0, 4].item() == pytest.approx(by_hand(case, layer=1, head=0, position=4), abs=1e-4)
    assert effects[0, 1, 2].item() == pytest.approx(by_hand(case, layer=0, head=1, position=2), abs=1e-4)


def by_hand(case, layer: int, head: int, position: int) -> float:
    """One cell with Hugging Face alone."""
    model = GPT2LMHeadModel.from_pretrained(case.model).eval()
    stored = json.loads((case.folder / "case.json").read_text())
    base, corrupted = (torch.tensor([stored["token_ids"][kind]]) for kind in ("base", "corrupted"))
    answer, foil = stored["answers"]
    seen = []
    here = (0, position, slice(8 * head, 8 * head + 8))

    def keep(_, args):
        seen.append(args[0].clone())

    def put(_, args):
        args[0][here] = seen[1][here]

    def difference(ids, hook):
        handle = model.transformer.h[layer].attn.c_proj.register_forward_pre_hook(hook)
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
        handle.remove()
        return (logits[answer] - logits[foil]).item()

    clean, other, patched = difference(base, keep), difference(corrupted, keep), difference(base, put)
    return (clean - patched) / (clean - other)


class Side:
    """Stands in for a process: what it says is known."""

    def __init__(self, cpu_s: list[float], effects: torch.Tensor) -> None:
        self._cpu_s, self._effects = cpu_s, effects

    def __call__(self, *_: object) -> "Side":
        return self

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self) -> Timing:
        return Timing(self._cpu_s.pop(0), 0.0)

    def effects(self) -> torch.Tensor:
        return self._effects

    def products(self) -> float:
        return 60.0

    def rate(self) -> float:
        return 100.0


@pytest.mark.usefixtures("tiny")
def test_figures_are_medians_of_the_turns_behind_a_first_run_that_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setenv("VESALIUS_HOME", str(tmp_path))
    monkeypatch.setattr(_tlens, "peer_python", lambda folder, progress: folder)
    effects = torch.zeros(2, 2, 5)
    monkeypatch.setattr(_tlens, "TransformerLens", Side([10.0, 6.0, 8.0, 12.0, 50.0], effects))
    monkeypatch.setattr(_tlens, "OurSweep", Side([99.0, 1.0, 2.0, 2.0, 1.0, 1.0], effects + 3e-4))
    found = heads_by_positions(0, lambda done, total, what: None)
    assert found["patch_ratio_transformerlens"].value == 10  # of 10, 3, 4, 12, 50
    assert (found["patch_ratio_transformerlens"].least, found["patch_ratio_transformerlens"].most) == (3, 50)
    assert found["patch_ratio_transformerlens"].met
    assert found["patch_max_diff"].value == pytest.approx(3e-4)
    assert found["patch_max_diff"].met is False
    assert found["patch_rate_share"].value == pytest.approx(0.6)
    assert (found["patch_cpu_s"].value, found["patch_cpu_s_transformerlens"].value) == (1, 10)
