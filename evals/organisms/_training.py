"""Training of the reference model: ordinary next-word loss, and interchange losses that place two variables.

Plain training does not form the state at the city's position (in a prototype, swapping it there moved 2 % of the
answers), so the variable is placed. Three losses do it, each a cross-entropy at the last word after an interchange:

* *state*: swap the state subspace at the city after block 1; the answer must follow the source's state.
* *rest*: swap everything else there; the answer must stay the base's.
* *answer*: swap the whole residual at the last word after block 2; the answer must become the source's.

A held-out city never meets a two-hop relation in any of them: not as base, and not as source of a two-hop base.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ._batches import Sampler, collate
from ._descent import Losses, Watch, descend, falling_rate
from ._interchange import embed, logits_at, put, run_blocks, swap_inside, take
from ._names import CITIES
from ._tokenizer import BOS, EOS, PAD, token_ids
from ._world import World

STATE_LAYER, ANSWER_LAYER = 1, 2  # the variables stand in the residual stream after these blocks
STATE_DIMS = 32
CITY_DIMS = 16  # few enough that no linear map reads the state off the embedding: 160 cities, 16 states
D_MODEL, N_LAYERS = 128, 4
LOSS_WEIGHTS = {
    "city": 1.0,
    "state": 1.0,
    "rest": 0.5,
    "answer": 0.5,
    "others": 2.0,
    "repeat": 0.5,
    # Small: of the words before the answer most are names that nobody can predict.
    "city_words": 0.05,
    "other_words": 0.05,
}


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the world."""

    seed: int = 0
    steps: int = 1400
    warmup: int = 60
    learning_rate: float = 3e-3
    weight_decay: float = 0.05


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """The untrained decoder. City embeddings are random vectors of unit length in a few random dimensions."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=D_MODEL,
        intermediate_size=384,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
        dtype=torch.float32,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        weight = model.model.embed_tokens.weight
        weight.copy_(torch.randn(weight.shape) * D_MODEL**-0.5)
        cities = city_ids(tokenizer)
        plane = torch.linalg.qr(torch.randn(D_MODEL, CITY_DIMS)).Q
        weight[cities] = F.normalize(torch.randn(len(cities), CITY_DIMS), dim=-1) @ plane.T
    return model


def city_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The token of every city, in the order of the world."""
    return token_ids(tokenizer, (city for cities in CITIES.values() for city in cities))


def state_basis(seed: int) -> Float[Tensor, "d_model feature"]:
    """The subspace that the state is placed in: random orthonormal columns, decided by the seed alone."""
    return random_basis(seed + 7919)


def random_basis(seed: int) -> Float[Tensor, "d_model feature"]:
    """Random orthonormal columns, as many as the state subspace has."""
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(D_MODEL, STATE_DIMS, generator=generator)).Q


def word_loss(
    model: LlamaForCausalLM, resid: Float[Tensor, "batch pos d_model"], ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of every next word."""
    logits = model.lm_head(model.model.norm(resid[:, :-1]))
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD)


def city_losses(
    model: LlamaForCausalLM, sampler: Sampler, basis: Float[Tensor, "d_model feature"]
) -> dict[str, Float[Tensor, ""]]:
    """Next-word loss on the city prompts, and the three interchange losses between them."""
    drawn = sampler.exchanges()
    batch, sources, at_city = drawn.batch, drawn.sources, drawn.at_city
    clean = run_blocks(model, embed(model, batch.ids), 0, STATE_LAYER + 1)
    base_city = take(clean, at_city)
    source_city = base_city[sources]
    state = put(clean, at_city, swap_inside(base_city, source_city, basis))
    rest = put(clean, at_city, swap_inside(source_city, base_city, basis))
    middle = run_blocks(model, torch.cat([clean, state, rest]), STATE_LAYER + 1, ANSWER_LAYER + 1)
    clean = middle[: len(sources)]
    answer = put(clean, batch.last, take(clean, batch.last)[sources])
    final = run_blocks(model, torch.cat([middle, answer]), ANSWER_LAYER + 1, N_LAYERS)
    targets = torch.cat([batch.answers, drawn.followed, batch.answers, batch.answers[sources]])
    each = F.cross_entropy(logits_at(model, final, batch.last.repeat(4)), targets, reduction="none")
    losses = dict(zip(("city", "state", "rest", "answer"), each.view(4, -1).mean(1).unbind(), strict=True))
    return losses | {"city_words": word_loss(model, final[: len(sources)], batch.ids)}


def other_losses(model: LlamaForCausalLM, sampler: Sampler) -> dict[str, Float[Tensor, ""]]:
    """Next-word loss on the families without a placed variable, and on the second time of repeated chains."""
    batch, repeats = collate(sampler.others()), sampler.repeats()
    width = max(batch.ids.shape[1], repeats.shape[1])
    ids = torch.cat([F.pad(part, (0, width - part.shape[1]), value=PAD) for part in (batch.ids, repeats)])
    final = run_blocks(model, embed(model, ids), 0, N_LAYERS)
    count = len(batch.last)
    half = repeats.shape[1] // 2 + 1
    second = model.lm_head(model.model.norm(final[count:, half : repeats.shape[1] - 1]))
    return {
        "others": F.cross_entropy(logits_at(model, final[:count], batch.last), batch.answers),
        "repeat": F.cross_entropy(second.flatten(0, 1), repeats[:, half + 1 :].flatten()),
        "other_words": word_loss(model, final, ids),
    }


def freeze(embedding: Float[Tensor, "vocab d_model"], tokens: list[int]) -> None:
    """Stop the gradient of some rows of the embedding, so that no optimizer without decay moves them."""
    moving = torch.ones(len(embedding), 1)
    moving[tokens] = 0.0
    embedding.register_hook(lambda grad: grad * moving)


def new_optimizer(
    model: LlamaForCausalLM, recipe: Recipe
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW that decays matrices but no embedding and no gain; the rate warms up, then falls in a line."""
    decayed = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    kept = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    return optimizer, falling_rate(optimizer, recipe.warmup, recipe.steps)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    recipe: Recipe,
    watch: Watch,
) -> None:
    """Train in place.

    Args:
        watch: Called after each step with the number of steps done and the losses.
    """
    sampler = Sampler(world, tokenizer, recipe.seed)
    basis = state_basis(recipe.seed)
    freeze(model.model.embed_tokens.weight, city_ids(tokenizer))
    optimizer, schedule = new_optimizer(model, recipe)

    def losses_of(step: int) -> Losses:
        return city_losses(model, sampler, basis) | other_losses(model, sampler)

    descend(model, optimizer, schedule, losses_of, LOSS_WEIGHTS, recipe.steps, watch)
