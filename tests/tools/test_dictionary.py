"""Dictionaries: what they compute, how they are kept, which one a subject gets, and how good they are."""

import json

import pytest
import torch
from conftest import make_subject, random_model, word_tokenizer
from safetensors import safe_open
from safetensors.torch import save_file
from vesalius.tools import Subject, ToolError
from vesalius.tools._dictionary import Dictionary, Transcoder, neurons_of
from vesalius.tools._dictionary_file import ENTRY, dictionary_of, load_dictionary, save_dictionary
from vesalius.tools._dictionary_quality import evaluate_set, evaluate_transcoder, fit_on, mean_loss
from vesalius.tools._dictionary_stream import TextStream
from vesalius.tools._dictionary_writing import splices

TEXTS = [f"w{a} w{(a * 7 + b) % 37} w{b} w{(a + b) % 37}" for a in range(12) for b in range(5)]


def two_features(activation="relu", **rule) -> Transcoder:
    """Feature 0 reads the first number and writes (1, 1); feature 1 reads the second, less one half, twice."""
    return Transcoder(
        layer=0,
        W_enc=torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        b_enc=torch.tensor([0.0, -1.0]),
        W_dec=torch.tensor([[1.0, 1.0], [0.0, 3.0]]),
        b_dec=torch.tensor([0.5, 0.0]),
        activation=activation,
        **rule,
    )


def random_transcoder(layer: int, d_model: int, activation: str, **rule) -> Transcoder:
    generator = torch.Generator().manual_seed(layer)
    enc, dec = (torch.randn(10, d_model, generator=generator) for _ in range(2))
    biases = torch.randn(10, generator=generator), torch.randn(d_model, generator=generator)
    return Transcoder(layer, enc, biases[0], dec, biases[1], activation, **rule)


@pytest.mark.parametrize(
    ("transcoder", "acts"),
    [
        (two_features(), [[2.0, 1.0], [0.0, 0.0], [0.25, 3.0]]),
        (two_features("topk", k=1), [[2.0, 0.0], [0.0, 0.0], [0.0, 3.0]]),
        (two_features("jumprelu", threshold=torch.tensor([1.0, 2.0])), [[2.0, 0.0], [0.0, 0.0], [0.0, 3.0]]),
    ],
    ids=["relu", "topk", "jumprelu"],
)
def test_hand_worked_activations_and_outputs(transcoder, acts):
    found = transcoder.encode(torch.tensor([[2.0, 1.0], [-1.0, 0.0], [0.25, 2.0]]))
    assert found.tolist() == acts
    due = [[0.5 + a, a + 3 * b] for a, b in acts]
    assert transcoder.decode(found).tolist() == due


def test_a_rule_without_its_number_is_refused():
    with pytest.raises(ValueError, match="topk and mp need k"):
        two_features("topk")
    with pytest.raises(ValueError, match="threshold belongs to jumprelu"):
        two_features("relu", threshold=torch.zeros(2))
    with pytest.raises(ValueError, match="k=3 of 2 features"):
        two_features("topk", k=3)


@pytest.mark.parametrize(
    ("activation", "rule"),
    [("relu", {}), ("topk", {"k": 3}), ("jumprelu", {"threshold": torch.full((10,), 0.2)})],
)
def test_a_dictionary_read_back_is_the_one_that_was_written(tmp_path, activation, rule):
    layers = tuple(random_transcoder(layer, 6, activation, **rule) for layer in range(2))
    made = Dictionary("mine", "f" * 64, layers)
    path = tmp_path / "deep" / "mine.safetensors"
    save_dictionary(made, path)
    back = load_dictionary(path)
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
    for one, other in zip(made.layers, back.layers, strict=True):
        assert torch.equal(one.decode(one.encode(values)), other.decode(other.encode(values)))
    assert (back.name, back.trained_on, back.digest) == (made.name, made.trained_on, made.digest)
    assert [file.name for file in path.parent.iterdir()] == ["mine.safetensors"]
    before = path.read_bytes()
    save_dictionary(back, path)
    assert path.read_bytes() == before


def test_the_digest_sees_a_changed_number_rule_and_model():
    made = Dictionary("a", "f", (random_transcoder(0, 6, "topk", k=3),))
    again = Dictionary("b", "f", (random_transcoder(0, 6, "topk", k=3),))
    others = [
        Dictionary("a", "f", (random_transcoder(0, 6, "topk", k=4),)),
        Dictionary("a", "f", (random_transcoder(0, 6, "relu"),)),
        Dictionary("a", "g", (random_transcoder(0, 6, "topk", k=3),)),
        Dictionary("a", "f", (random_transcoder(1, 6, "topk", k=3),)),
    ]
    assert made.digest == again.digest
    assert len({made.digest, *(other.digest for other in others)}) == 5


def broken_copies(path):
    """A file that is not safetensors, one without a header, one of a later format, and one with a tensor too short."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[ENTRY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    folder = path.parent
    (folder / "text.safetensors").write_text("no tensors here")
    save_file(tensors, folder / "bare.safetensors")
    save_file(tensors, folder / "later.safetensors", metadata={ENTRY: json.dumps(header | {"format": 2})})
    short = tensors | {"0.b_dec": tensors["0.b_dec"][:-1].clone()}
    save_file(short, folder / "short.safetensors", metadata={ENTRY: json.dumps(header)})
    missing = {name: tensor for name, tensor in tensors.items() if name != "0.W_dec"}
    save_file(missing, folder / "missing.safetensors", metadata={ENTRY: json.dumps(header)})
    return [folder / f"{name}.safetensors" for name in ("text", "bare", "later", "short", "missing", "absent")]


def test_a_file_that_is_no_dictionary_is_refused_with_what_is_one(tmp_path):
    path = tmp_path / "good.safetensors"
    save_dictionary(Dictionary("a", "f", (random_transcoder(0, 6, "relu"),)), path)
    for bad in broken_copies(path):
        with pytest.raises(ToolError, match="written by `vesalius dictionary train`"):
            load_dictionary(bad)


def subject_in(folder, seed=0) -> Subject:
    return Subject(random_model("llama", seed), word_tokenizer(), "mine", folder, None)


def test_a_subject_gets_the_dictionary_of_its_folder_or_of_a_path(tmp_path):
    subject = subject_in(tmp_path)
    layers = tuple(random_transcoder(layer, 24, "relu") for layer in range(3))
    made = Dictionary("transcoders", subject.key.fingerprint, layers)
    with pytest.raises(ToolError, match="`vesalius dictionary train mine --texts FILE`, or use `neurons`"):
        dictionary_of(subject)
    save_dictionary(made, tmp_path / "dictionaries" / "transcoders.safetensors")
    save_dictionary(made, tmp_path / "elsewhere.safetensors")
    assert dictionary_of(subject).digest == made.digest
    assert dictionary_of(subject, str(tmp_path / "elsewhere.safetensors")).digest == made.digest
    with pytest.raises(ToolError, match=r"`neurons`, `transcoders`, or a path ending in \.safetensors"):
        dictionary_of(subject, "../elsewhere")
    with pytest.raises(ToolError, match="has no layer 3"):
        made.at(3)


def test_a_dictionary_for_other_weights_other_sizes_or_the_twin_is_refused(tmp_path):
    subject = subject_in(tmp_path)
    path = tmp_path / "dictionaries" / "transcoders.safetensors"
    save_dictionary(Dictionary("transcoders", "0" * 64, (random_transcoder(0, 24, "relu"),)), path)
    with pytest.raises(ToolError, match="Train it again with `vesalius dictionary train mine"):
        dictionary_of(subject)
    save_dictionary(Dictionary("transcoders", subject.key.fingerprint, (random_transcoder(0, 6, "relu"),)), path)
    with pytest.raises(ToolError, match="Train it again for this model"):
        dictionary_of(subject)
    with pytest.raises(ToolError, match="Use `neurons` for the twin"):
        dictionary_of(subject.twin(1))
    assert dictionary_of(subject.twin(1), "neurons").trained_on == subject.key.fingerprint


def test_a_subject_of_double_precision_gets_tensors_of_its_type(tmp_path):
    model = random_model("llama").to(torch.bfloat16)
    subject = Subject(model, word_tokenizer(), "half", tmp_path, None)
    made = Dictionary("transcoders", subject.key.fingerprint, (random_transcoder(0, 24, "topk", k=2),))
    save_dictionary(made, tmp_path / "dictionaries" / "transcoders.safetensors")
    assert dictionary_of(subject).at(0).W_dec.dtype == torch.bfloat16


def test_neurons_rebuild_the_mlp(subject):
    dictionary = neurons_of(subject)
    tokens = subject.tokenise(["w1 w2 w3"])
    for layer in range(3):
        one = dictionary.at(layer)
        run = subject.run(tokens, read=[one.reads, f"mlp_out.{layer}"])
        acts, weights = one.acts(run.sites[one.reads]), subject.weights(layer)
        written = acts @ one.W_dec + one.b_dec
        if weights.post_mlp is not None:  # Gemma norms what its MLP writes
            written = written / weights.post_mlp.scale(acts @ weights.W_down + weights.b_down)
        assert torch.allclose(written, run.sites[f"mlp_out.{layer}"], atol=1e-4)
    assert not dictionary.exact_targets
    assert dictionary_of(subject, "neurons").digest == dictionary.digest


def test_statistics_of_a_perfect_and_of_a_useless_transcoder():
    subject = make_subject("llama")
    (values,) = TextStream(subject, ["mlp_in.1", "mlp_out.1"], TEXTS).chunks(10_000)
    mlp_out = values["mlp_out.1"]
    assert len(values["mlp_in.1"]) == len(mlp_out) == sum(subject.tokenise(TEXTS).lengths)
    useless = Transcoder(1, torch.zeros(4, 24), torch.zeros(4), torch.zeros(4, 24), torch.zeros(24), "relu")
    found = evaluate_transcoder(subject, useless, TEXTS, torch.zeros(4, dtype=torch.bool))
    # Writing zero is the ablation itself.
    assert found.loss_spliced == found.loss_ablated
    assert (found.loss_recovered, found.l0, found.dead) == (0, 0, 1)
    # An encoder that looks nothing up: the mean explains no variance, by definition.
    mean = Transcoder(1, torch.zeros(4, 24), torch.ones(4), torch.zeros(4, 24), mlp_out.mean(0), "relu")
    found = evaluate_transcoder(subject, mean, TEXTS, torch.zeros(4, dtype=torch.bool))
    assert found.variance_unexplained == pytest.approx(1, abs=1e-5)
    assert (found.l0, found.dead) == (4, 0)


def test_the_loss_does_not_depend_on_how_many_texts_go_at_once(monkeypatch):
    subject = make_subject("llama")
    zero = Transcoder(1, torch.zeros(4, 24), torch.zeros(4), torch.zeros(4, 24), torch.zeros(24), "relu")
    at_once = mean_loss(subject, TEXTS, splices([zero]))
    monkeypatch.setattr("vesalius.tools._dictionary_stream.LARGEST_PASS", 40)
    assert mean_loss(subject, TEXTS, splices([zero])) == pytest.approx(at_once, abs=1e-5)
    assert at_once != pytest.approx(mean_loss(subject, TEXTS), abs=1e-5)


def test_the_mean_loss_is_that_of_the_models_own_next_words():
    subject = make_subject("gpt2")
    total, count = 0.0, 0
    for text in TEXTS:
        ids = subject.tokenise([text]).ids
        total += subject.model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert mean_loss(subject, TEXTS) == pytest.approx(total / count, abs=1e-4)


def perfect(site: str, d_model=24) -> Transcoder:
    """An autoencoder that rebuilds what it reads: each coordinate and its negative is a feature."""
    both = torch.cat([torch.eye(d_model), -torch.eye(d_model)])
    return Transcoder(1, both, torch.zeros(48), both, torch.zeros(d_model), "relu", reads_at=site, writes_at=site)


@pytest.mark.parametrize("site", ["resid_post", "attn_out", "mlp_out"])
def test_a_perfect_autoencoder_recovers_all_of_the_loss_at_its_site(site):
    subject = make_subject("gpt_neox")
    found = evaluate_transcoder(subject, perfect(site), TEXTS, torch.zeros(48, dtype=torch.bool))
    assert found.variance_unexplained == pytest.approx(0, abs=1e-9)
    assert found.loss_recovered == pytest.approx(1, abs=1e-5)
    assert found.l0 == pytest.approx(24)
    assert abs(found.loss_ablated - found.loss_clean) > 1e-3


def test_the_fit_does_not_depend_on_how_many_tokens_are_held_at_once(monkeypatch):
    subject = make_subject("llama")
    one, sites = random_transcoder(1, 24, "topk", k=3), ["mlp_in.1", "mlp_out.1"]
    at_once = fit_on([one], TextStream(subject, sites, TEXTS))
    monkeypatch.setattr("vesalius.tools._dictionary_quality.MOST_ACTIVATIONS", 10 * 37)
    in_parts = fit_on([one], TextStream(subject, sites, TEXTS))
    assert in_parts.unexplained == pytest.approx(at_once.unexplained, rel=1e-5)
    assert (in_parts.l0, in_parts.n_tokens) == (pytest.approx(at_once.l0), at_once.n_tokens)
    assert torch.equal(in_parts.fired, at_once.fired)


def crossing_set() -> list[Transcoder]:
    """Three layers, each of which writes to itself and to all after it."""
    generator = torch.Generator().manual_seed(8)

    def later(layer: int) -> tuple[torch.Tensor, ...]:
        return tuple(torch.randn(10, 24, generator=generator) * 0.1 for _ in range(2 - layer))

    return [random_transcoder(layer, 24, "topk", k=3, W_dec_later=later(layer)) for layer in range(3)]


def test_a_cross_layer_set_spliced_all_together_is_the_sum_over_layers_worked_by_hand():
    subject, layers = make_subject("llama"), crossing_set()
    acts: dict[int, torch.Tensor] = {}

    def by_hand(layer: int, value: torch.Tensor) -> torch.Tensor:
        acts[layer] = layers[layer].encode(value)
        return value

    def rebuilt(layer: int) -> torch.Tensor:
        total = layers[layer].b_dec + acts[layer] @ layers[layer].W_dec
        for before in range(layer):
            total = total + acts[before] @ layers[before].W_dec_later[layer - before - 1]
        return total

    edits = {f"mlp_in.{i}": lambda value, i=i: by_hand(i, value) for i in range(3)}
    edits |= {f"mlp_out.{i}": lambda value, i=i: rebuilt(i) for i in range(3)}
    found = evaluate_set(subject, layers, TEXTS)
    assert found.loss_spliced == pytest.approx(mean_loss(subject, TEXTS, edits), abs=1e-6)
    assert found.loss_spliced != pytest.approx(mean_loss(subject, TEXTS, splices(layers[2:])), abs=1e-3)
    ablated = {f"mlp_out.{i}": torch.zeros_like for i in range(3)}
    assert found.loss_ablated == mean_loss(subject, TEXTS, ablated)
    # One layer of the set is measured with what the layers before it write to it, the model else untouched.
    only = {site: edit for site, edit in edits.items() if site.startswith("mlp_in") or site == "mlp_out.2"}
    alone = evaluate_transcoder(subject, layers[2], TEXTS, torch.zeros(10, dtype=torch.bool), earlier=layers[:2])
    assert alone.loss_spliced == pytest.approx(mean_loss(subject, TEXTS, only), abs=1e-6)


def test_a_site_that_no_prediction_hangs_on_has_no_loss_to_recover():
    model = random_model("gpt2")
    for parameter in model.transformer.h[1].mlp.c_proj.parameters():
        torch.nn.init.zeros_(parameter)
    subject = Subject(model, word_tokenizer(), "without", None, None)
    with pytest.raises(ToolError, match="Leave such layers out"):
        evaluate_transcoder(subject, perfect("mlp_out"), TEXTS, torch.zeros(48, dtype=torch.bool))
