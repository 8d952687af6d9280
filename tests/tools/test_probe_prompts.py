"""Probe prompts: a model and dictionary built so that every class is certain; errors with their mend."""

import json

import pytest
import torch
from conftest import make_subject
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from vesalius.tools import Subject, ToolError, load_subject, load_tools
from vesalius.tools._dictionary import Dictionary, Transcoder
from vesalius.tools._dictionary_file import save_dictionary
from vesalius.tools._probe_groups import Thresholds
from vesalius.tools.probe_prompts import ProbePromptsArgs, probe_prompts

SPECIAL = ["<pad>", "<bos>", "<unk>"]
TEXT = (
    "the capital of state containing lies in is called near ruled from Dallas Texas Austin Dayton Ohio Columbus unused"
)
WORDS = [*SPECIAL, *TEXT.split(), "Waco", "Lima"]
WIDTH, DEPTH = 64, 2
FAMILY = {
    "name": "two_hop",
    "description": "The capital of the state a city lies in.",
    "templates": [
        {"id": "containing", "text": "the capital of the state containing {city} is"},
        {"id": "ruled", "text": "{city} lies in state ruled from"},
    ],
    "entity": "city",
    "mediators": ["state"],
    "answer": "capital",
    "rows": [
        {"slots": {"city": "Dallas", "state": "Texas", "capital": "Austin"}, "split": "train"},
        {"slots": {"city": "Waco", "state": "Texas", "capital": "Austin"}, "split": "held_out"},
        {"slots": {"city": "Dayton", "state": "Ohio", "capital": "Columbus"}, "split": "train"},
        {"slots": {"city": "Lima", "state": "Ohio", "capital": "Columbus"}, "split": "held_out"},
    ],
}
TEXTS = [
    "Dallas lies in Texas",
    "Dayton lies near Texas",
    "Waco lies near Texas",
    "the state of Texas",
    "a zebra in Texas",
]
PROMPT = "the capital of the state containing Dallas is"
RULES = {
    "0/0": ("Semantic", "early layer", "is"),
    "1/0": ("Semantic", "dictionary", "Texas"),
    "1/1": ("Say X", "say", "Say (Austin)"),
    "1/2": ("Relationship", "relationship", "(Dallas) related"),
    "1/3": ("Ambiguous", "ambiguous", "near"),
    "1/4": ("Semantic", "concept", "capital"),
    "1/5": ("Ambiguous", "inactive", ""),
}
FIRES = {  # layer, feature: activation at each token, on top of a bias
    (0, 0): ({"is": 3, "of": 2, "in": 2}, 0),
    (1, 0): ({"Texas": 1}, 0),
    (1, 1): ({"is": 3, "of": 2, "in": 2}, 0),
    (1, 2): ({"Dallas": 0.5, "Texas": 0.2}, 1),
    (1, 3): ({"of": 4, "is": 4, "near": 1}, 0),
    (1, 4): ({"capital": 1, "state": 0.8, "lies": 0.7}, 0),
    (1, 5): ({"unused": 1}, 0),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Subject:
    """A model whose blocks add nothing: what an MLP reads tells the token and nothing else."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "tasks.json").write_text(json.dumps({"families": [FAMILY]}))
    (folder / "text.json").write_text(json.dumps({"texts": TEXTS}))
    subject = Subject(transparent_model(), tokenizer(), "world", folder, None)
    layers = tuple(transcoder(layer, subject) for layer in range(DEPTH))
    save_dictionary(
        Dictionary("world", subject.key.fingerprint, layers), folder / "dictionaries" / "transcoders.safetensors"
    )
    return subject


def tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        unk_token="<unk>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )


def transparent_model() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=4,
        intermediate_size=8,
        max_position_embeddings=16,
        tie_word_embeddings=False,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(WIDTH)[: len(WORDS)])
        model.lm_head.weight.zero_()
        model.lm_head.weight[0] = 10.0  # says <pad> whatever it reads
    return model


def transcoder(layer: int, subject: Subject) -> Transcoder:
    mine = {feature: fires for (of_layer, feature), fires in FIRES.items() if of_layer == layer}
    scale = subject.weights(layer).norm2(torch.eye(WIDTH))[0, 0]  # length of a token's one-hot after the norm
    W_enc, b_enc = torch.zeros(len(mine), WIDTH), torch.zeros(len(mine))
    for feature, (tokens, bias) in mine.items():
        b_enc[feature] = bias
        for token, value in tokens.items():
            W_enc[feature, WORDS.index(token)] = value / scale
    return Transcoder(layer, W_enc, b_enc, torch.ones(len(mine), WIDTH), torch.zeros(WIDTH), "relu")


def args(**more) -> ProbePromptsArgs:
    return ProbePromptsArgs.model_validate({"prompt": PROMPT, "target": "Austin", "features": tuple(RULES), **more})


def test_features_built_for_a_class_get_that_class_rule_and_name(world):
    result = probe_prompts(world, args())
    got = {f"{f.layer}/{f.feature}": (f.group, f.rule, f.name) for f in result.features}
    assert got == RULES
    grouped = {node.name: node.features for node in result.supernodes}
    assert grouped["Texas"] == ("1/0",)
    assert sum(map(len, grouped.values())) == len(RULES) - 1  # one that nothing activates is in none


def test_readings_are_the_activations_that_were_built_in(world):
    result = probe_prompts(world, args())
    for feature in result.features:
        tokens, bias = FIRES[feature.layer, feature.feature]
        seen = {reading.probe: reading for reading in feature.readings}
        for i, probe in enumerate(result.probes):
            acts = [tokens.get(word, 0) + bias for word in probe.text.split()]
            assert (i in seen) == (max(acts) > 0)
            if i in seen:
                peak = max(acts)
                assert seen[i].peak == pytest.approx(peak, abs=1e-3)
                assert seen[i].position == acts.index(peak) + 1  # <bos> counts
                assert seen[i].token.strip() == probe.text.split()[acts.index(peak)]
                assert seen[i].sparsity == pytest.approx((peak - sum(acts) / len(acts)) / peak, abs=1e-3)
                assert seen[i].density == pytest.approx(sum(a > 0 for a in acts) / len(acts))


def test_concepts_are_the_tasks_slots_the_target_content_words_and_swapped_entities(world):
    result = probe_prompts(world, args())
    assert [(c.label, c.role) for c in result.concepts] == [
        ("Dallas", "entity"),
        ("Texas", "mediator"),
        ("Austin", "answer"),
        ("capital", "word"),
        ("state", "word"),
        ("containing", "word"),
        ("Dayton", "swap"),
    ]
    assert result.family == "two_hop"


def test_probes_have_their_concept_once_each_and_no_held_out_entity(world):
    result = probe_prompts(world, args())
    texts = [probe.text for probe in result.probes]
    assert texts[0] == f"{PROMPT} Austin"
    assert len(set(texts)) == len(texts)
    assert not any(city in text for text in texts for city in ("Waco", "Lima", "zebra"))
    assert {"template", "text"} == {probe.source for probe in result.probes}
    assert result.n_refused == 1  # the zebra
    for probe in result.probes:
        ids = world.tokenizer(probe.text)["input_ids"]
        assert WORDS[ids[probe.position]] == probe.concept
        assert WORDS.index("<unk>") not in ids


def test_a_held_out_prompt_keeps_its_own_entity(world):
    result = probe_prompts(world, args(prompt=PROMPT.replace("Dallas", "Waco"), features=("1/0",)))
    assert result.probes[0].concept == "Waco"
    assert "Lima" not in " ".join(probe.text for probe in result.probes)


@pytest.mark.parametrize("change", [{"prompt": "Dallas lies near", "target": "Texas"}, {"features": ("1/0",)}])
def test_a_prompt_of_no_family_gets_probes_all_the_same(world, change):
    assert probe_prompts(world, args(**change)).probes


def test_without_task_data_the_model_continues_its_own_prompt(subject):
    result = probe_prompts(
        subject,
        ProbePromptsArgs(prompt="w3 w4", target="w5", dictionary="neurons", per_concept=3, continuation_tokens=4),
    )
    assert {probe.source for probe in result.probes} == {"continuation"}
    assert {probe.concept for probe in result.probes} <= {"w3", "w4", "w5"}
    ids = subject.tokenise(["w3"]).ids
    for _ in range(4):
        ids = torch.cat([ids, subject.model(ids).logits[:, -1:].argmax(-1)], dim=1)
        if ids[0, -1] in subject.tokenizer.all_special_ids:
            break
    likeliest = subject.tokenizer.decode(ids[0], skip_special_tokens=True)
    # A model that ends at once has written no continuation.
    assert (likeliest in {probe.text for probe in result.probes}) == (likeliest != "w3")


def test_neurons_are_read_as_their_positive_activations(subject):
    """Second road: the same peaks from a plain run, for features that the tool chose by itself."""
    result = probe_prompts(
        subject,
        ProbePromptsArgs(prompt="w3 w4", target="w5", dictionary="neurons", per_concept=2, max_features=5),
    )
    assert len(result.features) == 5
    for feature in result.features:
        site = f"mlp_act.{feature.layer}"
        read = {reading.probe: reading for reading in feature.readings}
        for i, probe in enumerate(result.probes):
            acts = subject.run(subject.tokenise([probe.text]), read=[site]).sites[site][0, 1:, feature.feature]
            assert (i in read) == (acts.max() > 0)
            if i in read:
                assert read[i].peak == pytest.approx(acts.max().item(), abs=1e-4)
                assert read[i].position == int(acts.argmax()) + 1


def test_features_are_chosen_by_how_much_they_write_on_the_prompt(world):
    chosen = probe_prompts(world, args(features=(), max_features=3))
    names = [f"{f.layer}/{f.feature}" for f in chosen.features]
    assert names == ["0/0", "1/1", "1/3"]  # 3, 3 and 4 at "is" and "of"; all write vectors have one length
    assert chosen == probe_prompts(world, args(features=tuple(reversed(names))))


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "the state of Texas is"},
        {"target": "Texas"},
        {"dictionary": "neurons"},
        {"features": ("1/1",)},
        {"features": (), "layers": (0,)},
        {"features": (), "max_features": 1},
        {"per_concept": 1},
        {"swaps": 0},
        {"thresholds": {"sparsity": 0.1}},
        {"blacklist": ("dallas",)},
        {"seed": 7, "per_concept": 1},
    ],
)
def test_each_argument_varies_the_result(world, change):
    base = {"per_concept": 1} if "seed" in change else {}
    if change.get("dictionary"):
        change = {**change, "features": ("1/1",)}
        base = {"features": ("1/1",)}
    assert probe_prompts(world, args(**change)) != probe_prompts(world, args(**base))
    assert probe_prompts(world, args(**change)) == probe_prompts(world, args(**change))


def test_a_continuation_is_as_long_as_asked_and_follows_the_seed():
    subject, base = make_subject("gpt2"), {"prompt": "w3 w4", "target": "w5", "dictionary": "neurons"}
    short, long, other = (
        probe_prompts(subject, ProbePromptsArgs.model_validate({**base, "max_features": 1, **more}))
        for more in ({"continuation_tokens": 2}, {"continuation_tokens": 5}, {"continuation_tokens": 5, "seed": 1})
    )
    assert max(len(probe.text.split()) for probe in short.probes) <= 5
    assert short.probes != long.probes != other.probes


def test_the_thresholds_that_were_used_stand_in_the_measurement(world):
    measured = probe_prompts.measure(world, args(features=("1/0",), thresholds={"sparsity": 0.3}))
    assert measured.args["thresholds"] == {**Thresholds().model_dump(), "sparsity": 0.3}
    assert probe_prompts.measure(world, args()).args["thresholds"] == Thresholds().model_dump()


@pytest.mark.external
def test_a_continuation_ends_with_a_whole_word(external):
    stories = load_subject(str(external / "models" / "stories260k-hf"), device="cpu")
    request = {"prompt": "Once upon a time there was a little girl named", "target": "Lily", "dictionary": "neurons"}
    short, long = (
        probe_prompts(
            stories, ProbePromptsArgs.model_validate({**request, "max_features": 1, "continuation_tokens": n})
        )
        for n in (6, 16)
    )
    cut = short.probes[0].text
    assert long.probes[0].text.startswith(cut)
    assert not long.probes[0].text[len(cut) :][:1].isalnum()


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"dictionary": "nothing"}, "vesalius dictionary train"),
        ({"features": ["1"]}, "LAYER/FEATURE, for example"),
        ({"features": ["9/1"]}, "Its layers: 0, 1"),
        ({"features": ["1/6"]}, r"Features: 0\.\.5"),
        ({"features": [], "layers": [9]}, "Its layers: 0, 1"),
        ({"prompt": "the zebra"}, "Use words the model knows"),
        ({"target": "zebra"}, "Use words the model knows"),
        ({"target": " "}, "Pass the next word"),
        ({"per_concept": 0}, "greater than or equal to 1"),
        ({"thresholds": {"colour": 1}}, "thresholds"),
    ],
)
def test_what_cannot_be_probed_is_refused_with_the_mend(world, change, mend):
    tool = load_tools()["probe_prompts"]
    with pytest.raises(ToolError, match=mend):
        tool(world, tool.parse({"prompt": PROMPT, "target": "Austin", **change}))


def test_a_model_that_writes_nothing_and_has_no_texts_is_refused_with_the_mend():
    mute = Subject(transparent_model(), tokenizer(), "mute", None, None)
    with pytest.raises(ToolError, match="Raise `continuation_tokens`"):
        probe_prompts(mute, ProbePromptsArgs(prompt=PROMPT, target="Austin", dictionary="neurons", features=("1/1",)))


def test_the_reference_models_own_prompt_is_probed(atlas):
    result = probe_prompts(
        atlas, ProbePromptsArgs(prompt=PROMPT, target="Austin", dictionary="neurons", max_features=5)
    )
    assert result.family == "two_hop"
    assert result.concepts_without_probes == ()
    assert result.n_refused == 0
