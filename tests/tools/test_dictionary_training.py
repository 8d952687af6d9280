"""A training repeats, may be stopped at any moment, and refuses what cannot be trained.

Long, because what stops a training and what is left of it belong together.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from safetensors.torch import load_file, save_file
from vesalius.agent.commands.training import stopped_between_steps
from vesalius.tools import (
    Subject,
    ToolError,
    Transcoder,
    TranscoderRecipe,
    _dictionary_fit as fit,
    _dictionary_texts as text_parts,
    _dictionary_training as training,
    get_tool,
    load_subject,
    silent,
)
from vesalius.tools._base import canonical, digest
from vesalius.tools._dictionary import Dictionary
from vesalius.tools._dictionary_checkpoint import Checkpoints
from vesalius.tools._dictionary_file import dictionary_of, load_dictionary
from vesalius.tools._dictionary_fit import Training
from vesalius.tools._dictionary_recipe import KINDS, check_recipe
from vesalius.tools._dictionary_stream import Buffer
from vesalius.tools._dictionary_texts import parts_of, read_texts
from vesalius.tools._dictionary_training import (
    dictionary_name,
    on_device,
    train_from_file,
    train_transcoders,
)

TEXTS = [" ".join(f"w{(a * 7 + i * i) % 37}" for i in range(2 + a % 9)) for a in range(190)]
RECIPE = TranscoderRecipe(n_features=24, k=3, steps=30)
STREAMED = replace(RECIPE, buffer=512)  # of about 900 tokens that are trained on


@pytest.fixture(autouse=True)
def seldom_refreshed(monkeypatch):
    """A block of so small a buffer would be due twice a step, and most of a test's time go to reading texts."""
    monkeypatch.setattr("vesalius.tools._dictionary_stream.REUSE", 40)


class Killed(Exception):
    """Stands for a signal that nothing can answer: no code of the trainer runs after it."""


def killing(after: int, how: type[BaseException] = Killed):
    """Progress that ends the training when it is told so often."""
    told = 0

    def progress(done: int, total: int, what: str) -> None:
        nonlocal told
        told += 1
        if told == after:
            raise how

    return progress


def train(
    recipe=RECIPE, out=None, resume=False, progress=silent, texts=TEXTS, family="llama", seconds=60.0
) -> Dictionary:
    checkpoints = None if out is None else Checkpoints(out, seconds)
    return train_transcoders(make_subject(family), texts, recipe, progress, checkpoints, resume)


def site_of(kind: str) -> str:
    return "resid_post" if "mlp" not in KINDS[kind].sites else "mlp"


# Repeating.


def test_a_training_repeats_from_its_seed_and_differs_for_another():
    first, again, other = train(), train(), train(replace(RECIPE, seed=1))
    assert (first.digest, first.stats) == (again.digest, again.stats)
    assert first.digest != other.digest


def test_held_out_texts_are_not_trained_on_and_the_others_are():
    subject = make_subject("llama")
    trained_on, watched, held_out = parts_of(subject, TEXTS, RECIPE)
    assert not {*trained_on} & {*held_out}
    assert len(held_out) == len({*TEXTS}) // 5
    assert not watched

    def with_texts(trained_on, held_out) -> Dictionary:
        run = training._Run(subject, TEXTS, replace(RECIPE, layers=(1,)), silent, None, False)
        run.trained_on, run.held_out = trained_on, held_out
        return run.train()

    made = with_texts(trained_on, held_out)
    other_held_out = with_texts(trained_on, [f"{text} w1" for text in held_out])
    assert other_held_out.digest == made.digest
    assert other_held_out.stats != made.stats
    assert with_texts([f"{text} w1" for text in trained_on], held_out).digest != made.digest


def test_texts_beyond_what_is_measured_are_trained_on(monkeypatch):
    monkeypatch.setattr(text_parts, "HELD_OUT_TOKENS", 30)
    subject = make_subject("llama")
    trained_on, _, held_out = parts_of(subject, TEXTS, RECIPE)
    assert sum(len(subject.reader.encode(text)) for text in held_out) <= 30
    assert sorted([*trained_on, *held_out]) == sorted({*TEXTS})


def test_texts_that_decide_when_to_stop_are_neither_trained_on_nor_measured(monkeypatch):
    subject = make_subject("llama")
    trained_on, watched, held_out = parts_of(subject, TEXTS, replace(RECIPE, patience=2))
    assert sorted([*trained_on, *watched, *held_out]) == sorted({*TEXTS})
    assert held_out == parts_of(subject, TEXTS, RECIPE).held_out
    assert len(watched) == int((len(trained_on) + len(watched)) / 10)
    monkeypatch.setattr(text_parts, "WATCHED", 10)
    assert (
        sum(len(subject.reader.encode(text)) for text in parts_of(subject, TEXTS, replace(RECIPE, patience=2)).watched)
        <= 10
    )


def test_progress_never_goes_back_and_ends_at_all_of_it():
    for recipe in (RECIPE, replace(RECIPE, kind="cross-layer")):
        told: list[tuple[int, int, str]] = []
        train(recipe, progress=lambda *what, told=told: told.append(what))
        assert all(before[0] <= after[0] for before, after in pairwise(told))
        assert {total for _, total, _ in told} == {told[-1][0]}
        assert any("reading texts" in what for *_, what in told)
        assert any(re.search(r"unexplained 0\.\d+, 3\.0 active", what) for *_, what in told)


# Stopping and going on.


@pytest.mark.parametrize(
    ("recipe", "steps_of_life"), [(RECIPE, 3), (RECIPE, 4), (RECIPE, 5), (STREAMED, 3)], ids=["3", "4", "5", "streamed"]
)
def test_a_training_killed_again_and_again_ends_as_one_that_was_never_stopped(tmp_path, recipe, steps_of_life):
    """With these lengths it dies, taken together, while it reads, trains, measures, and between layers."""
    recipe = replace(recipe, layers=(0, 2))
    unbroken, out, deaths, resume = train(recipe), tmp_path / "made.safetensors", set(), False
    for _ in range(20):
        told: list[str] = []

        def progress(done: int, total: int, what: str, told=told) -> None:
            told.append(re.sub(r", unexplained.*", "", what))
            if len(told) == steps_of_life:
                raise Killed

        try:
            made = train(recipe, out, resume, progress, seconds=0.0)
            break
        except Killed:
            deaths.add(told[-1])
            resume = out.with_name("made.safetensors.checkpoint.json").exists()
    else:
        pytest.fail(f"it never ended; it died at {deaths}")
    assert (made.digest, made.stats) == (unbroken.digest, unbroken.stats)
    assert len(deaths) >= 2, deaths


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "topk"])
def test_every_kind_goes_on_where_it_was_stopped(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(fit, "EVALUATE_EVERY", 10)
    layers = None if kind == "cross-layer" else (2,)
    recipe = replace(STREAMED, kind=kind, site=site_of(kind), layers=layers, patience=50)
    out = tmp_path / "made.safetensors"
    with pytest.raises(Killed):
        train(recipe, out, progress=killing(3), seconds=0.0)
    assert train(recipe, out, resume=True).digest == train(recipe).digest


def test_between_two_layers_what_is_finished_is_kept_whenever_the_last_checkpoint_was(tmp_path):
    out = tmp_path / "made.safetensors"
    reading_second = 1 + 3 + 1 + 1
    with pytest.raises(Killed):
        train(out=out, progress=killing(reading_second), seconds=1e9)
    told: list[str] = []
    made = train(out=out, resume=True, progress=lambda done, total, what: told.append(what))
    assert told[0] == "layer 1, reading texts"
    assert made.digest == train().digest


def test_when_training_is_told_to_stop_no_step_is_lost(tmp_path):
    out = tmp_path / "made.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(out=out, progress=killing(3, KeyboardInterrupt), seconds=1e9)
    head = json.loads((tmp_path / "made.safetensors.checkpoint.json").read_text())
    assert head["plain"]["step"] == 20
    assert train(out=out, resume=True).digest == train().digest


def saved_model(folder: Path) -> Path:
    random_model("llama").save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def test_a_process_killed_without_warning_is_gone_on_with(tmp_path):
    model, out = saved_model(tmp_path / "model"), tmp_path / "made.safetensors"
    recipe = replace(RECIPE, steps=400, layers=(0,))
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    code = (
        "import json, sys; from pathlib import Path\n"
        "from vesalius.tools import TranscoderRecipe, load_subject, silent, train_transcoders\n"
        "from vesalius.tools._dictionary_checkpoint import Checkpoints\n"
        "model, texts, out, recipe = sys.argv[1:]\n"
        "recipe = TranscoderRecipe(**json.loads(recipe))\n"
        "texts, place = json.loads(Path(texts).read_text()), Checkpoints(Path(out), seconds=0.0)\n"
        "train_transcoders(load_subject(model, 'cpu'), texts, recipe, silent, place)\n"
    )
    given = json.dumps({"n_features": 24, "k": 3, "steps": 400, "layers": [0]})
    arguments = [sys.executable, "-c", code, str(model), str(tmp_path / "texts.json"), str(out), given]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE)
    head = out.with_name("made.safetensors.checkpoint.json")
    while not head.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    step = json.loads(head.read_text())["plain"]["step"]
    assert 0 < step < 400
    subject = load_subject(str(model), "cpu")
    made = train_transcoders(subject, TEXTS, recipe, silent, Checkpoints(out), resume=True)
    assert made.digest == train_transcoders(subject, TEXTS, recipe).digest


def from_file(tmp_path: Path, progress=silent, resume=False, out="made.safetensors", overwrite=False):
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps(TEXTS))
    return train_from_file(make_subject("llama"), texts, tmp_path / out, RECIPE, progress, resume, overwrite)


def test_a_stopped_training_says_how_to_go_on_and_a_finished_one_leaves_its_dictionary_alone(tmp_path):
    with pytest.raises(KeyboardInterrupt, match=r"checkpoint\.json; to go on, give the same command with `--resume`"):
        from_file(tmp_path, killing(3, KeyboardInterrupt))
    made, path, together = from_file(tmp_path, resume=True)
    assert {file.name for file in tmp_path.iterdir()} == {"texts.json", "made.safetensors"}
    back = load_dictionary(path)
    assert (back.digest, back.stats) == (made.digest, made.stats) == (train().digest, train().stats)
    assert together.loss_clean == made.stats[0].loss_clean
    with pytest.raises(ToolError, match=r"stands already\. Write to another file with `--out`, or .* `--overwrite`"):
        from_file(tmp_path)
    assert load_dictionary(path).digest == made.digest
    with pytest.raises(KeyboardInterrupt) as stopped:
        from_file(tmp_path, killing(1, KeyboardInterrupt), overwrite=True)
    assert str(stopped.value) == ""  # nothing was trained, so there is nothing to go on with


def test_the_first_ctrl_c_waits_for_the_end_of_a_step_and_the_second_does_not(capsys):
    told: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    with stopped_between_steps(lambda done, total, what: told.append(done)) as progress:
        progress(1, 9, "a")
        os.kill(os.getpid(), signal.SIGINT)
        assert "Ctrl-C again stops at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            progress(2, 9, "b")
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert told == [1, 2]
    assert signal.getsignal(signal.SIGINT) is handler


def stopped_at(tmp_path: Path, recipe=RECIPE, after=3) -> Path:
    out = tmp_path / "made.safetensors"
    with pytest.raises(Killed):
        train(recipe, out, progress=killing(after), seconds=0.0)
    return out


def test_a_checkpoint_is_not_gone_on_with_by_another_recipe_model_or_texts(tmp_path):
    out = stopped_at(tmp_path)
    mend = "Resume with the same options, model and texts"
    with pytest.raises(ToolError, match=rf"k 3 \(now 4\), steps 30 \(now 40\)\. {mend}"):
        train(replace(RECIPE, k=4, steps=40), out, resume=True)
    with pytest.raises(ToolError, match=f"another model. {mend}"):
        train(out=out, resume=True, family="gpt2")
    with pytest.raises(ToolError, match=f"other texts. {mend}"):
        train(out=out, resume=True, texts=TEXTS[1:])
    assert train(out=out, resume=True).digest == train().digest


def test_a_checkpoint_that_stands_is_not_written_over(tmp_path):
    out = stopped_at(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ToolError, match="Go on with `--resume`, or delete that file to begin anew"):
        train(out=out)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    with pytest.raises(ToolError, match="Leave `--resume` out to begin"):
        train(out=tmp_path / "other.safetensors", resume=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "list", "step", "flip", "finished", "missing", "elsewhere"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    out = stopped_at(tmp_path, after=7)  # in the second layer, so that all three files are there
    head = out.with_name("made.safetensors.checkpoint.json")
    plain = json.loads(head.read_text())
    state, finished = (tmp_path / plain[name] for name in ("state", "finished"))
    if damage in ("cut", "empty", "list"):
        head.write_text({"cut": head.read_text()[:-20], "empty": "", "list": "[]"}[damage])
    elif damage in ("step", "elsewhere"):
        changed = {"plain": plain["plain"] | {"step": 20}} if damage == "step" else {"state": "../made"}
        head.write_text(json.dumps(plain | changed))
    elif damage == "missing":
        state.unlink()
    else:
        file = state if damage == "flip" else finished
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(content)
    with pytest.raises(ToolError, match=r"holds no checkpoint: .* Delete it to begin anew"):
        train(out=out, resume=True)


def forge(head: Path, change) -> None:
    """Change a checkpoint as somebody would who makes its digests anew."""
    said = json.loads(head.read_text())
    tensors = load_file(head.parent / said["state"])
    change(said, tensors)
    save_file(tensors, head.parent / said["state"])
    said["sha256"][said["state"]] = hashlib.sha256((head.parent / said["state"]).read_bytes()).hexdigest()
    said.pop("digest")
    head.write_text(canonical(said | {"digest": digest(said)}))


FORGERIES = {
    "a tensor is missing": lambda said, tensors: tensors.pop("tracked.seen"),
    "one too many": lambda said, tensors: tensors.update(more=torch.zeros(1)),
    "another shape": lambda said, tensors: tensors.update({"weights.0.b_enc": torch.zeros(1)}),
    "another type": lambda said, tensors: tensors.update({"weights.0.b_enc": torch.zeros(24, dtype=torch.float64)}),
    "no generator": lambda said, tensors: tensors.update(generator=torch.zeros(3, dtype=torch.uint8)),
    "steps as text": lambda said, tensors: said["plain"].update(step="9"),
    "never ends": lambda said, tensors: said["plain"].update(end=10**12),
    "past the end": lambda said, tensors: said["plain"].update(step=999),
    "nothing plain": lambda said, tensors: said.update(plain=None),
    "too few places": lambda said, tensors: said.update(begins=[[0, 0, 0]]),
    "places before the first": lambda said, tensors: said.update(begins=[[0, 0, -1]] * 8),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_checkpoint_whose_digests_were_made_anew_is_refused_where_it_cannot_be_of_this_training(tmp_path, forgery):
    out = stopped_at(tmp_path, STREAMED)
    head = out.with_name("made.safetensors.checkpoint.json")
    forge(head, FORGERIES[forgery])
    with pytest.raises(ToolError, match="Delete it to begin anew"):
        train(STREAMED, out, resume=True)


def test_digests_made_anew_alone_change_nothing(tmp_path):
    out = stopped_at(tmp_path, STREAMED)
    forge(out.with_name("made.safetensors.checkpoint.json"), lambda said, tensors: None)
    assert train(STREAMED, out, resume=True).digest == train(STREAMED).digest


def test_a_checkpoint_of_another_version_of_the_trainer_is_refused(tmp_path, monkeypatch):
    out = stopped_at(tmp_path)
    monkeypatch.setattr("vesalius.tools._dictionary_checkpoint.FORMAT", 0)
    with pytest.raises(ToolError, match="another version of the trainer"):
        train(out=out, resume=True)


def test_a_model_that_ships_keeps_its_dictionary(tmp_path):
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    with pytest.raises(ToolError, match=r"no folder of yours to write to\. Say where with `--out"):
        train_from_file(load_subject("atlas", "cpu"), tmp_path / "texts.json", None, RECIPE)


def test_a_buffer_beyond_memory_is_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr("vesalius.tools._dictionary_tensors.room", lambda device: 1000)
    with pytest.raises(ToolError, match=r"Hold fewer tokens \(`--buffer`\)"):
        train()


def test_after_a_checkpoint_was_deleted_nothing_of_it_gets_into_the_next_training(tmp_path):
    other = replace(RECIPE, seed=5)
    out = stopped_at(tmp_path, other, after=7)  # its first layer is finished
    out.with_name("made.safetensors.checkpoint.json").unlink()
    with pytest.raises(Killed):
        train(out=out, progress=killing(6), seconds=1e9)
    assert train(out=out, resume=True).digest == train().digest


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    out = stopped_at(tmp_path)
    (tmp_path / ".made.safetensors.checkpoint.0-10.safetensors.abc").write_bytes(b"half")
    (tmp_path / "made.safetensors.checkpoint.0-10.safetensors").write_bytes(b"old")
    train(out=out, resume=True, seconds=0.0)
    assert {file.name for file in tmp_path.iterdir()} == {
        "made.safetensors.checkpoint.json",
        "made.safetensors.checkpoint.3.safetensors",
    }


def test_finished_layers_are_taken_up_on_the_device_of_the_subject():
    parts = (torch.zeros(4, 6), torch.zeros(4), torch.zeros(4, 6), torch.zeros(6))
    skip, later = torch.zeros(6, 6), (torch.zeros(4, 6),)
    one = Transcoder(0, *parts, "jumprelu", threshold=torch.zeros(4), W_skip=skip, W_dec_later=later)
    moved = on_device(one, torch.device("meta"))
    tensors = (moved.W_enc, moved.b_enc, moved.W_dec, moved.b_dec, moved.threshold, moved.W_skip, *moved.W_dec_later)
    assert {tensor.device.type for tensor in tensors if tensor is not None} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["batchtopk", "jumprelu", "relu", "mp", "skip", "cross-layer"])
def test_a_training_on_a_gpu_is_stopped_and_gone_on_with(tmp_path, kind):
    subject = Subject(random_model("llama").to("cuda"), word_tokenizer(), "on-gpu", None, None)
    recipe = replace(STREAMED, kind=kind, site=site_of(kind))
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))

    def go(progress=silent, resume=False):
        return train_from_file(subject, tmp_path / "texts.json", tmp_path / "m.safetensors", recipe, progress, resume)

    with pytest.raises(KeyboardInterrupt):
        go(killing(3 if kind == "cross-layer" else 8, KeyboardInterrupt))
    made, _, together = go(resume=True)
    on_cpu = train(recipe)
    assert together.loss_recovered < 1
    for one, other in zip(made.stats, on_cpu.stats, strict=True):
        assert one.variance_unexplained == pytest.approx(other.variance_unexplained, rel=0.2)


# Early stop.


def watched(scripted: list[tuple[float, float]], patience: int, monkeypatch, steps=100) -> Training:
    """A training whose looks at held-out texts find these shares unexplained and numbers of active features."""
    monkeypatch.setattr(fit, "EVALUATE_EVERY", 10)
    monkeypatch.setattr(fit, "COOLDOWN", 5)
    values = {"resid_post.0": torch.randn(600, 8, generator=torch.Generator().manual_seed(0))}
    recipe = TranscoderRecipe(8, 2, steps, site="resid_post", patience=patience)
    made, left = Training(recipe, (0,), Buffer(values), values), iter(scripted)
    monkeypatch.setattr(made, "fit", lambda values: next(left))
    return made


@pytest.mark.parametrize(
    ("unexplained", "active", "end"),
    [
        ([0.5, 0.4, 0.4, 0.4, 0.4], [2] * 10, 40 + 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.05, 0.02, 0.01, 0.005], [2] * 10, 100),
        # Gains too small for one look are gains all the same once they add up.
        ([0.5 - 0.0006 * i for i in range(10)], [2] * 10, 100),
        # While a penalty still makes features fewer, the error that grows is no standstill.
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.45, 0.4, 0.39, 0.38, 0.37], [90, 60, 40, 20, 10, 5, 2, 2, 2, 2], 100),
        ([0.5] * 10, [2] * 10, 30 + 5),
    ],
    ids=["stands still", "gains", "creeps", "gets sparser", "never gained"],
)
def test_training_stops_when_gains_stop_and_not_before(unexplained, active, end, monkeypatch):
    made = watched([*zip(unexplained, map(float, active), strict=False)], 2, monkeypatch)
    rates: list[float] = []
    made.run(lambda outcome: rates.append(made.optimizer.param_groups[0]["lr"]))
    assert made.step == end
    assert rates[-1] < 0.25 * rates[1]  # the rate went down before the end


@pytest.mark.parametrize("killed_at", [20, 40], ids=["while it counts", "while it cools down"])
def test_what_early_stop_has_seen_survives_being_killed(tmp_path, killed_at, monkeypatch):
    for name, value in (("EVALUATE_EVERY", 10), ("LEAST_GAIN", 1.0), ("SETTLED", 1e9), ("COOLDOWN", 20)):
        monkeypatch.setattr(fit, name, value)
    recipe = replace(RECIPE, layers=(1,), steps=100, patience=2)
    end = 30 + 20  # the first look has nothing to compare with, the next two gain nothing
    told: list[int] = []
    unbroken = train(recipe, progress=lambda done, *_: told.append(done))
    assert sorted({*told}) == [*range(0, end + 1, 10), 100]
    out, told[:] = tmp_path / "made.safetensors", []
    with pytest.raises(Killed):
        train(recipe, out, progress=killing(1 + killed_at // 10), seconds=0.0)
    made = train(recipe, out, resume=True, progress=lambda done, *_: told.append(done))
    assert sorted({*told}) == [0, *range(killed_at + 10, end + 1, 10), 100]
    assert made.digest == unbroken.digest


def test_with_patience_a_real_training_is_shorter_and_not_worse(monkeypatch):
    monkeypatch.setattr(fit, "COOLDOWN", 50)
    monkeypatch.setattr(fit, "EVALUATE_EVERY", 50)
    monkeypatch.setattr(fit, "LEAST_GAIN", 0.02)
    steps: list[int] = []
    recipe = replace(RECIPE, layers=(1,), steps=700, n_features=64, k=8)
    patient = train(replace(recipe, patience=2), progress=lambda done, total, what: steps.append(done))
    assert max(steps[:-2]) < 600
    assert patient.stats[0].variance_unexplained < train(recipe).stats[0].variance_unexplained + 0.05


# What is refused.


@pytest.mark.parametrize(
    ("recipe", "mend"),
    [
        (replace(RECIPE, kind="vanilla"), "Kinds: relu, topk, batchtopk, jumprelu, matryoshka, mp, skip, cross-layer"),
        (replace(RECIPE, site="mlp_in"), "Sites: mlp, mlp_out, attn_out, resid_post"),
        (replace(RECIPE, kind="mp"), "Sites for this kind: mlp_out, attn_out, resid_post"),
        (replace(RECIPE, kind="skip", site="mlp_out"), "Sites for this kind: mlp."),
        (replace(RECIPE, n_features=1, k=1), "Train at least 8 a layer"),
        (replace(RECIPE, k=25), r"Let 1\.\.24 be active, or train more features"),
        (replace(RECIPE, k=0), r"Let 1\.\.24 be active"),
        (replace(RECIPE, steps=0), "Give at least 1 step"),
        (replace(RECIPE, patience=-1), "a patience of 0 or more"),
        (replace(RECIPE, seed=2**60), r"Give 0\.\.4294967295"),
        (replace(RECIPE, buffer=100), "Hold at least 512"),
        (replace(RECIPE, sparsity=0.1), "only relu, jumprelu take a weight"),
        (replace(RECIPE, kind="relu", sparsity=0.0), "Give a number above 0"),
        (replace(RECIPE, kind="relu", sparsity=float("nan")), "Give a number above 0"),
        (replace(RECIPE, kind="cross-layer", layers=(0,)), "Name no layer for this kind"),
        (replace(RECIPE, layers=(1, 3)), r"Layers: 0\.\.2"),
        (replace(RECIPE, layers=(2, 1)), "Name each layer once, in order"),
        (replace(RECIPE, layers=()), "Name each layer once, in order"),
    ],
    ids=lambda value: "" if isinstance(value, TranscoderRecipe) else value[:12],
)
def test_a_recipe_that_cannot_be_trained_is_refused_before_anything_is_read(recipe, mend, tmp_path):
    with pytest.raises(ToolError, match=mend):
        check_recipe(recipe, 3)
    with pytest.raises(ToolError, match=mend):
        train_from_file(make_subject("llama"), tmp_path / "absent.txt", tmp_path / "new" / "a.safetensors", recipe)
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.safetensors").mkdir()
    told: list[str] = []
    for out in ("made.txt", "file/made.safetensors", "folder.safetensors"):
        with pytest.raises(ToolError, match=r"a file ending in \.safetensors, in a folder that you may write to"):
            from_file(tmp_path, lambda done, total, what: told.append(what), out=out)
    assert not told
    with pytest.raises(ToolError, match=r"Say where with `--out FILE\.safetensors`"):
        train_from_file(make_subject("llama"), tmp_path / "texts.json", None, RECIPE)


def test_a_twin_and_too_few_texts_are_refused():
    with pytest.raises(ToolError, match="Train on the model itself"):
        train_transcoders(make_subject("llama").twin(1), TEXTS, RECIPE)
    with pytest.raises(ToolError, match="Pass at least 5"):
        train(texts=["w1 w2"] * 50 + TEXTS[:3])


def test_texts_are_read_from_a_list_an_object_and_lines(tmp_path):
    def read(name: str, content: str | bytes) -> tuple[str, ...]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_texts(path)

    assert read("a.json", '["one two", "", "three"]') == ("one two", "three")
    assert read("b.json", '{"texts": ["one"], "other": 1}') == ("one",)
    assert read("c.txt", "one two\r\n\n  \nthree") == ("one two", "three")
    for name, content in {
        "d.json": '["one", 2]',
        "e.json": '{"text": ["one"]}',
        "f.json": "{",
        "g.txt": " \n\n",
        "h.txt": b"\x89PNG\xff",
        "i.json": "[]",
        "j.json": "[" * 100_000,
    }.items():
        with pytest.raises(ToolError, match="one text a line"):
            read(name, content)
    for absent in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(ToolError, match="one text a line"):
            read_texts(absent)


def test_a_site_that_never_changes_is_refused_though_its_mean_is_rounded():
    values = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    for still in (torch.full((600, 8), 0.1), torch.full((600, 8), 1.1) + 1e-7 * values.sign()):
        with pytest.raises(ToolError, match="Train the other layers: name them"):
            Training(RECIPE, (0,), Buffer({"mlp_in.0": values, "mlp_out.0": still}))


def test_a_training_that_diverges_is_ended_and_not_saved():
    values = {"resid_post.0": torch.randn(600, 8, generator=torch.Generator().manual_seed(0))}
    made = Training(TranscoderRecipe(8, 2, 100, site="resid_post"), (0,), Buffer(values))
    with torch.no_grad():
        made.trainee.weights["0.W_dec"][0] = torch.nan
    with pytest.raises(ToolError, match="another `--kind`"):
        made.run(lambda outcome: None)


# Names, and what instruments make of the kinds.


def test_only_the_plain_transcoders_of_all_layers_get_the_plain_name(tmp_path):
    names = {
        dictionary_name(recipe)
        for recipe in (RECIPE, replace(RECIPE, layers=(0, 2)), replace(RECIPE, kind="mp", site="resid_post"))
    }
    assert names == {"transcoders", "transcoders-layer-0-2", "mp-resid_post"}
    subject = Subject(random_model("llama"), word_tokenizer(), "mine", tmp_path, None)
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    for recipe in (replace(RECIPE, layers=(0,)), replace(RECIPE, kind="mp", site="resid_post", steps=3)):
        made, path, _ = train_from_file(subject, tmp_path / "texts.json", None, recipe)
        assert path == tmp_path / "dictionaries" / f"{dictionary_name(recipe)}.safetensors"
        assert dictionary_of(subject, dictionary_name(recipe)).digest == made.digest
    graph = get_tool("attribution_graph")
    with pytest.raises(ToolError, match="Use transcoders"):
        graph.run(subject, graph.parse({"prompt": "w1 w2 w3", "dictionary": "mp-resid_post"}), silent)
    with pytest.raises(ToolError, match="Its layers: 0"):
        graph.run(subject, graph.parse({"prompt": "w1 w2 w3", "dictionary": "transcoders-layer-0"}), silent)


@pytest.mark.parametrize("kind", ["batchtopk", "jumprelu", "skip", "cross-layer"])
def test_every_kind_of_transcoder_explains_a_prompt_exactly(tmp_path, kind):
    subject = Subject(random_model("llama"), word_tokenizer(), "mine", tmp_path, None)
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    made, _, _ = train_from_file(subject, tmp_path / "texts.json", None, replace(RECIPE, kind=kind, steps=10))
    graph = get_tool("attribution_graph")
    found = graph.run(subject, graph.parse({"prompt": "w1 w2 w3", "dictionary": f"{kind}-mlp"}), silent)
    assert found.dictionary_digest == made.digest
    assert found.n_active_features > 0
    assert found.links_into_features == "exact"
    assert found.intervention_error < 1e-4
