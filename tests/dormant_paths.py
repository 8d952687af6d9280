"""A model whose MLP has a dormant path: a direction that moves the answer although neither part of it does.

Its last token is w1 or w2, and the stream tells the unembedding which: w10 is due after w1, w11 after w2. Block 1 has
three neurons that do anything: CORRELATED fires after w1 and writes nothing; DORMANT never fires and would write the
answer; TRUE fires after w1 and writes as much of the answer as it is told to.
"""

import torch
from conftest import word_tokenizer
from hand_made import writing_nothing
from vesalius.tools import Subject

CORRELATED, DORMANT, TRUE, N_NEURONS = 0, 1, 2, 40
AFTER_W1, AFTER_W2, ANSWER = 0, 1, 2  # dimensions of the stream


def dormant_path(true_writes: float) -> Subject:
    """The model, its TRUE neuron writing that much."""
    model, tokenizer = writing_nothing("self_attn", "mlp"), word_tokenizer()
    token = {f"w{i}": tokenizer.convert_tokens_to_ids(f"w{i}") for i in (1, 2, 10, 11)}
    embed, mlp, unembed = model.model.embed_tokens.weight, model.model.layers[1].mlp, model.lm_head.weight
    with torch.no_grad():
        embed[:, : ANSWER + 1] = 0
        unembed.zero_()
        for name, dim, foil in (("w1", AFTER_W1, "w11"), ("w2", AFTER_W2, "w10")):
            embed[token[name]] = 0
            embed[token[name], dim] = 2
            unembed[token["w10" if foil == "w11" else "w11"], dim] = 1
        for neuron in (CORRELATED, TRUE):
            mlp.gate_proj.weight[neuron, AFTER_W1], mlp.up_proj.weight[neuron, AFTER_W1] = 1.0, 0.05
        mlp.gate_proj.bias[DORMANT] = 1
        unembed[token["w10"], ANSWER], unembed[token["w11"], ANSWER] = 1, -1
        mlp.down_proj.weight[ANSWER, DORMANT], mlp.down_proj.weight[ANSWER, TRUE] = 5, true_writes
    return Subject(model, tokenizer, "dormant", None, None)


def pairs_of(*words: str) -> list[dict[str, str]]:
    """A pair in either direction behind each of the words."""
    made = []
    for word in words:
        one, two = f"{word} w1", f"{word} w2"
        made.append({"base": one, "corrupted": two, "answer": "w10", "foil": "w11", "base_entity": "w1"})
        made.append({"base": two, "corrupted": one, "answer": "w11", "foil": "w10", "base_entity": "w2"})
    return [{**pair, "source_entity": "w1" if pair["base_entity"] == "w2" else "w2"} for pair in made]


def neurons(**weights: float) -> list[float]:
    """A direction of the MLP by the names of its neurons."""
    places = {"correlated": CORRELATED, "dormant": DORMANT, "true": TRUE}
    found = [0.0] * N_NEURONS
    for name, weight in weights.items():
        found[places[name]] = weight
    return found
