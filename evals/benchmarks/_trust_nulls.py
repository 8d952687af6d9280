"""Questions where nothing is to be found, or not what is asked about.

| kind | model | what is false |
| --- | --- | --- |
| `reinitialised` | random weights, asked an induction task | any claim |
| `shuffled_labels` | does its task, asked for answers that belong to other words | any claim |
| `permuted_answers` | a drawn circuit, answers dealt out anew over its pairs | any claim |
| `wrong_answer` | a circuit, asked why it says what it does not say | any claim |
| `other_rule` | copies the first word, asked by pairs about the word before the last | any claim |
| `direct` | the last word alone decides, no block takes part | any claim |
| `direct_why` | the same, asked for a reason without pairs | any claim |
| `dormant` | an MLP follows the answer and never moves it | a claim about that MLP or what is not in the circuit |
| `relabelled`, `memorised` | knows facts; task data name a value in between that has no part | that it is held |
| `own_answers` | random weights, asked by pairs that they do answer so | what patching fresh pairs does not bear out |

The first five are stopped by the question's premise, the others are not. `own_answers` is no null question: an answer
of random weights has causes too. It is asked all the same, and counted apart.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ...agent._evidence import Prediction
from ...tools import Pair, Subject, load_subject
from ..organisms._compile import Compiled
from ..organisms._compile_generated import generated_one
from ..organisms._compile_named import NOUNS, replaced
from ..organisms._compile_tasks import families
from ..organisms.compiled import compiled_circuit
from ..organisms.nulls import dormant_compiled, reinitialised, shuffled_labels
from ._trust_organisms import Answering, direct, knowing, random_model, relabelled, write_tasks
from ._trust_runs import Question, where_question, why_question
from ._trust_truth import Known, Verifier, nothing

N_PAIRS, N_FRESH = 30, 150  # of a question; behind what is true (counts)
LIKELY = 0.15  # probability of what random weights are asked for
TRIES = 4000  # prompts drawn to find such pairs (count)
ATLAS_TRUE = ("resid_post.0", "resid_post.1")  # where the reference model holds the state, as `questions.py` has it
Asked = Iterator[Question]


def pairs_of(one: Compiled, family: str, n: int, salt: str) -> tuple[Pair, ...]:
    """So many pairs of one counterfactual family, drawn apart for every salt."""
    return families(one.circuit, n, random.Random(f"{one.organism.name} {salt}"))[family]


def known(one: Compiled, family: str) -> Known:
    """What is true of a compiled model, on pairs that no question has."""
    return Known(one.organism.subject, one.organism.nodes, pairs_of(one, family, N_FRESH, "fresh"))


def asked_where(kind: str, one: Compiled, family: str, verify: Verifier, seed: int) -> Question:
    """A question about one counterfactual family of a compiled model."""
    pairs = pairs_of(one, family, N_PAIRS, "asked")
    return where_question(kind, one.organism.name, one.organism.subject, pairs, verify, seed)


def _reinitialised(seed: int, folder: Path) -> Question:
    one = reinitialised(seed)
    pairs = [pair for family in one.families.values() for pair in family][:N_PAIRS]
    return where_question("reinitialised", one.name, one.subject, pairs, nothing("the weights are random"), seed)


def _shuffled_labels(seed: int, folder: Path) -> Question:
    one = shuffled_labels(seed)
    pairs = [pair for family in one.families.values() for pair in family][:N_PAIRS]
    return where_question("shuffled_labels", one.name, one.subject, pairs, nothing("labels were exchanged"), seed)


def _permuted_answers(seed: int, folder: Path) -> Question:
    one, rng = generated_one(seed, seed % 7), random.Random(f"permuted {seed}")
    family = rng.choice(sorted(one.organism.families))
    pairs = pairs_of(one, family, N_PAIRS, "asked")
    dealt = rng.sample(pairs, len(pairs))
    mixed = [
        pair.model_copy(update={"answer": other.answer, "foil": other.foil})
        for pair, other in zip(pairs, dealt, strict=True)
        if other.answer != pair.answer or other.foil != pair.foil
    ]
    verify = nothing("answers were dealt out anew")
    return where_question("permuted_answers", one.organism.name, one.organism.subject, mixed, verify, seed)


def _wrong_answer(seed: int, folder: Path) -> Question:
    rng = random.Random(f"wrong {seed}")
    one = compiled_circuit(rng.choice(("induction", "first_token", "two_hop", "facts")), seed)
    pair = pairs_of(one, next(iter(one.organism.families)), 1, "asked")[0]
    others = sorted({p.answer for p in pairs_of(one, next(iter(one.organism.families)), 20, "others")} - {pair.answer})
    answer, verify = rng.choice(others), nothing("the model does not say so")
    return why_question("wrong_answer", one.organism.name, one.organism.subject, pair.base, answer, verify)


def _other_rule(seed: int, folder: Path) -> Question:
    """Another rule for the same prompts: what stands before the last word, put to a model that copies the first."""
    one, rng = compiled_circuit("first_token", seed), random.Random(f"other rule {seed}")
    words, pairs = one.circuit.program.words, []
    for _ in range(N_PAIRS):
        prompt = one.circuit.task.draw(rng)
        other = rng.choice([word for word in words if word != prompt[-2]])
        changed = [*prompt[:-2], other, prompt[-1]]
        pairs.append(Pair(base=" ".join(prompt), corrupted=" ".join(changed), answer=prompt[-2], foil=other))
    verify = nothing("the model follows another rule")
    return where_question("other_rule", one.organism.name, one.organism.subject, pairs, verify, seed)


def _direct(seed: int, folder: Path) -> Question:
    one = direct(seed)
    return asked_where("direct", one, "last word", known(one, "last word"), seed)


def _direct_why(seed: int, folder: Path) -> Question:
    one = direct(seed)
    pair = pairs_of(one, "last word", 1, "asked")[0]
    verify = nothing("no block takes part")
    return why_question("direct_why", one.organism.name, one.organism.subject, pair.base, pair.answer, verify)


def _dormant(seed: int, folder: Path) -> Question:
    one, rng = dormant_compiled(seed), random.Random(f"dormant question {seed}")
    family = rng.choice(sorted(one.organism.families))
    return asked_where("dormant", one, family, known(one, family), seed)


def _relabelled(seed: int, folder: Path) -> Question:
    return _about_facts(knowing(seed, folder, "relabelled"), "relabelled", seed)


def _memorised(seed: int, folder: Path) -> Question:
    return _about_facts(knowing(seed, folder, "memorised"), "memorised", seed)


def knows(seed: int, folder: Path) -> Question:
    """The planted one: facts with true task data."""
    return _about_facts(knowing(seed, folder, "true"), "facts_why", seed)


def _about_facts(model: Answering, kind: str, seed: int) -> Question:
    rng = random.Random(f"{kind} question {seed}")
    family = rng.choice([one for one in model.subject.tasks if one.mediators])
    row = rng.choice(family.rows)
    prompt, answer = rng.choice(family.templates).fill(row.slots), row.slots[family.answer]
    return why_question(kind, model.one.organism.name, model.subject, prompt, answer, facts_verifier(model))


def facts_verifier(model: Answering) -> Verifier:
    """What is true of a model of facts when its entity is exchanged, read off its layout."""
    places = model.one.layout.places
    knows_at, moved, told = places["kind"].layer, places["moved"], places["said"].layer
    lookups = {f"mlp_out.{knows_at}", f"mlp_out.{places['value'].layer}"}

    def true_at(site: str, position: str, kind: str) -> bool:
        layer = int(site.split(".")[1]) - site.startswith("resid_pre")
        if kind in ("variable", "absence"):
            return model.mediator_is_true and knows_at <= layer < moved.layer
        if position == "entity":
            return layer < moved.layer if site.startswith("resid") else site in lookups
        if site.startswith("resid"):
            return layer >= moved.layer
        return site in (moved.node, f"attn_out.{moved.layer}", f"mlp_out.{told}")

    def verify(prediction: Prediction) -> str:
        args = prediction.arms[0].args
        if prediction.arms[0].tool != "patch":
            return ""
        site, position = args["sites"][0], args["positions"][0]
        claimed = prediction.direction == "positive"
        what = "holds that value" if prediction.kind in ("variable", "absence") else "is on the path"
        if true_at(site, position, prediction.kind) == claimed:
            return ""
        return f"{site} at {position} {what}" if not claimed else f"nothing {what} at {site}, {position}"

    return verify


def _relabelled_atlas(seed: int, folder: Path) -> Question:
    """The reference model, its states dealt out anew among the cities: only what is said of the state is false."""
    reference, rng = load_subject("atlas", device="cpu"), random.Random(f"atlas {seed}")
    family = next(one for one in reference.tasks if one.name == "two_hop")
    place = folder / f"atlas-{seed}"
    place.mkdir()
    assert reference.folder is not None
    for file in reference.folder.iterdir():
        if file.is_file() and file.name not in ("tasks.json", "text.json"):
            (place / file.name).symlink_to(file)
    write_tasks(place, [relabelled(family, (), rng)])
    subject = load_subject(str(place), device="cpu")
    row = rng.choice([row for row in family.rows if row.split == "train"])
    prompt, answer = rng.choice(family.templates).fill(row.slots), row.slots[family.answer]

    def verify(prediction: Prediction) -> str:
        return "states were dealt out anew" if prediction.kind == "variable" else ""

    return why_question("relabelled_atlas", subject.name, subject, prompt, answer, verify)


def own_answers(seed: int, folder: Path) -> Question | None:
    """Pairs that random weights do answer so; none where they answer everything alike."""
    rng = random.Random(f"own {seed}")
    words, length = tuple(rng.sample(NOUNS, 14)), rng.randint(5, 8)
    subject = random_model(words, length, seed)
    found = _answered(subject, words, length, rng)
    if len(found) < 2 * N_PAIRS:
        return None
    asked, fresh = found[:N_PAIRS], found[N_PAIRS:]
    return where_question("own_answers", subject.name, subject, asked, Known(subject, None, fresh), seed)


def _answered(subject: Subject, words: Sequence[str], length: int, rng: random.Random) -> list[Pair]:
    prompts = [rng.choices(words, k=length - 1) for _ in range(TRIES)]
    places = [rng.randrange(length - 1) for _ in prompts]
    changed = [replaced(rng, prompt, place, tuple(words)) for prompt, place in zip(prompts, places, strict=True)]
    said = [_most_likely(subject, [" ".join(p) for p in side]) for side in (prompts, changed)]
    return [
        Pair(base=" ".join(p), corrupted=" ".join(c), answer=a, foil=f)
        for p, c, (a, sure_a), (f, sure_f) in zip(prompts, changed, *said, strict=True)
        if a != f and a in words and f in words and min(sure_a, sure_f) >= LIKELY
    ][: 2 * N_PAIRS + N_FRESH]


def _most_likely(subject: Subject, texts: Sequence[str]) -> list[tuple[str, float]]:
    shares = subject.last_logits(subject.tokenise(texts)).softmax(-1)
    sure, best = shares.max(-1)
    named = subject.tokenizer.convert_ids_to_tokens(best.tolist())
    return list(zip(named, sure.tolist(), strict=True))


Make = Callable[[int, Path], Question | None]
NULLS: Mapping[str, Make] = {
    "reinitialised": _reinitialised,
    "shuffled_labels": _shuffled_labels,
    "permuted_answers": _permuted_answers,
    "wrong_answer": _wrong_answer,
    "other_rule": _other_rule,
    "direct": _direct,
    "direct_why": _direct_why,
    "dormant": _dormant,
    "relabelled": _relabelled,
    "memorised": _memorised,
    "relabelled_atlas": _relabelled_atlas,
    "own_answers": own_answers,
}
