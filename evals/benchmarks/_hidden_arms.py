"""The white-box arms and the prompting arm: each asks one instrument about the ten records shown, and scores fields.

| arm | reads | score of a field |
| --- | --- | --- |
| `prompting` | what the model says after `why` | share of the records whose explanation names it |
| `gradient` | `attribution_patch`, node `embed` | mean size of the effect foretold of exchanging its value |
| `relp` | `relp` over nodes, node `embed` | the same, by relevance propagation |
| `relp_path` | RelP's gradients on the way to the record (`_hidden_relp_path.py`) | the same, by their mean |
| `logit_lens` | `logit_lens` at the field's value | how far yes less no varies there, mean over layers |
| `dictionary` | `feature_activations` of neurons at `decide` | what it explains of features, by their effect |
| `attribution_graph` | `attribution_graph` over neurons | mean share of all influence that its value's token has |

Effects that `relp` and `relp_path` foretell have a sign, so they foretell decisions too: of further records, not asked
about, from the shown record that is nearest in effect, effects of several exchanges added up. These forecasts join the
labelled pairs with a small weight. On development organisms that took accuracy of `relp` from .85, .72, .65 (depth 2,
3, 4) to .96, .83, .82. Forecasts of plain gradients did harm there (.77, .69, .68 by themselves: where the answer is
sure, gradients vanish), so `gradient` has scores alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from ...tools import Subject, dictionary_of, get_tool
from ..organisms._hidden_text import END, LONGEST_PATH, N_PROMPT, NO, WHY, YES, prompt, value_position
from ..organisms._hidden_tree import FIELDS, VALUES, RecordLaw, Records
from ._hidden_evidence import (
    Changes,
    Evidence,
    Transcript,
    among,
    distinct,
    effect_table,
    extrapolated,
    margins,
    mean_by_field,
    single_changes,
)
from ._hidden_passes import BACKWARD, counted
from ._hidden_predictor import Labelled, Scores
from ._hidden_relp_path import POINTS, exchange_effects

FORECASTS, WEIGHT = 300, 0.03  # records whose decisions are foretold (count), and how each counts beside a seen one
UNLABELLED = 90  # further records whose features are read, and whose decisions are not (count)
MOST_NODES = 1000  # more than an organism has
MOST_LISTED = 24  # features that are listed per token (count)
GRAPH_FEATURES = 200  # in a graph (count)
RIDGE = 1.0  # keeps copies from sharing a feature out at random

Arm = Callable[[Subject, RecordLaw, Transcript, int], Evidence]


def ask(subject: Subject, name: str, **args: Any) -> dict[str, Any]:
    """What an instrument says."""
    instrument = get_tool(name)
    return instrument.measure(subject, instrument.parse(args)).result


def samples_only(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """Nothing but the labelled pairs."""
    return Evidence(None, 0, 0)


def prompting(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """Ask the model why, and believe it."""
    told = [f"{one} {said} {WHY}" for one, said in zip(transcript.prompts, transcript.answers, strict=True)]
    named: list[set[str]] = [set() for _ in told]
    with counted(subject) as passes:
        for _ in range(LONGEST_PATH + 1):
            going = [row for row, text in enumerate(told) if not text.endswith(END)]
            if not going:
                break
            answers = ask(subject, "next_token", prompts=[told[row] for row in going], top_k=1)["answers"]
            for row, answer in zip(going, answers, strict=True):
                word = answer["top"][0][0].strip()
                told[row] += f" {word}"
                named[row].add(word)
    scores = np.array([sum(field in words for words in named) / len(named) for field in FIELDS])
    return Evidence(scores, passes.count, passes.count)


def gradient(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """Effects foretold by gradients."""
    changes = single_changes(transcript.shown)
    with counted(subject) as passes:
        drops = _foretold_drops(subject, transcript, changes, "attribution_patch", {})
    scores = mean_by_field(np.abs(drops), changes.field)
    return Evidence(scores, len(transcript.shown) * (1 + BACKWARD), passes.count)


def relp(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """Effects foretold by relevance propagation, and the decisions that follow from them."""
    changes = single_changes(transcript.shown)
    with counted(subject) as passes:
        drops = _foretold_drops(subject, transcript, changes, "relp", {"units": "nodes"})
        known = margins(subject, transcript.shown)
    towards_yes = -drops * np.where(transcript.decisions, 1, -1)[changes.of]
    table = effect_table(changes, towards_yes, len(transcript.shown))
    least = len(transcript.shown) * (1 + BACKWARD)
    return _foretelling(law, transcript, seed, known, table, (least, passes.count))


def relp_path(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """The same on the way to each record."""
    with counted(subject) as passes:
        table = exchange_effects(subject, transcript.shown)
        known = margins(subject, transcript.shown)
    least = len(transcript.shown) * (1 + len(POINTS) * (1 + BACKWARD))
    return _foretelling(law, transcript, seed, known, table, (least, passes.count))


def _foretelling(
    law: RecordLaw,
    transcript: Transcript,
    seed: int,
    known: Float[np.ndarray, " _"],
    table: Float[np.ndarray, "_ _ _"],
    passes: tuple[int, int],
) -> Evidence:
    """Scores by the size of effects, and the decisions about further records that follow from their signs.

    Args:
        known: Yes less no of the records shown (nats).
        table: What single exchanges add to each.
        passes: At the least, and as run.
    """
    changes, records = single_changes(transcript.shown), _further(law, transcript, FORECASTS, seed)
    effects = table[changes.of, changes.field, changes.records[np.arange(len(changes.of)), changes.field]]
    forecasts = Labelled(records, extrapolated(known, table, records), np.full(len(records), WEIGHT))
    return Evidence(mean_by_field(np.abs(effects), changes.field), *passes, forecasts)


def _foretold_drops(
    subject: Subject, transcript: Transcript, changes: Changes, name: str, args: dict[str, Any]
) -> Float[np.ndarray, " batch"]:
    """How far each exchange would lower the model's decision below the other one, by an instrument (nats)."""
    pairs = [
        {
            "base": transcript.prompts[of],
            "corrupted": prompt(changed),
            "answer": transcript.answers[of],
            "foil": transcript.foils[of],
        }
        for of, changed in zip(changes.of, changes.records, strict=True)
    ]
    result = ask(subject, name, families=[{"name": "values", "pairs": pairs}], top=MOST_NODES, check=0, **args)
    said = next(one for one in result["scored"] if one["source"] == "embed")["families"][0]
    return np.array(said["pairs"]) * result["families"][0]["gap"]


def _further(law: RecordLaw, transcript: Transcript, n: int, seed: int) -> Records:
    """Records as they come about, none of them asked about."""
    drawn = law.records(np.random.default_rng([seed, 1]), n)  # another stream than the transcript's
    return distinct(drawn[~among(drawn, np.concatenate([transcript.asked, transcript.shown]))])


def logit_lens(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """How far the values of a field speak for yes or no, read where they stand."""
    scores = np.zeros(len(FIELDS))
    with counted(subject) as passes:
        for field in range(len(FIELDS)):
            read = ask(
                subject,
                "logit_lens",
                prompts=transcript.prompts,
                track=(YES, NO),
                position=value_position(field),
                top_k=1,
            )
            lens = np.array(
                [
                    [layer["tracked"][0]["logit"] - layer["tracked"][1]["logit"] for layer in one["layers"]]
                    for one in read["prompts"]
                ]
            )
            scores[field] = lens.std(0).mean()
    return Evidence(scores, len(transcript.shown), passes.count)


def dictionary(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """Which fields explain the features at the token that decides, weighed by what features do to the answer."""
    records = np.concatenate([transcript.shown, _further(law, transcript, UNLABELLED, seed)])
    with counted(subject) as passes:
        prompts = [prompt(record) for record in records]
        read = ask(subject, "feature_activations", prompts=prompts, dictionary="neurons", top_k=MOST_LISTED)
    sizes = [layer.n_features for layer in dictionary_of(subject, "neurons").layers]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    acts = np.zeros((len(records), int(starts[-1])))
    for row, one in enumerate(read["prompts"]):
        for feature in one["tokens"][N_PROMPT - 1]["features"]:
            acts[row, starts[feature["layer"]] + feature["feature"]] = feature["activation"]
    scores = explained_by_fields(records, acts) @ np.abs(_direct_effects(subject))
    return Evidence(scores, len(records), passes.count)


def explained_by_fields(records: np.ndarray, acts: np.ndarray) -> np.ndarray:
    """Of each field and feature, how far the field's part of a joint linear fit varies (activation)."""
    values = (records[:, :, None] == np.arange(len(VALUES))).reshape(len(records), -1).astype(float)
    values -= values.mean(0)
    fit = np.linalg.solve(values.T @ values + RIDGE * np.eye(values.shape[1]), values.T @ (acts - acts.mean(0)))
    of_field = [slice(f * len(VALUES), (f + 1) * len(VALUES)) for f in range(len(FIELDS))]
    return np.stack([(values[:, columns] @ fit[columns]).std(0) for columns in of_field])


def _direct_effects(subject: Subject) -> np.ndarray:
    """What a unit of each feature adds to yes less no, but for the scale of the final norm."""
    yes, no = subject.tokenizer.convert_tokens_to_ids([YES, NO])
    with torch.no_grad():
        reads = subject.final_norm.weight * (subject.W_U[:, yes] - subject.W_U[:, no])
        reads = reads - reads.mean()  # the norm takes the mean away
        return torch.cat([layer.W_dec @ reads for layer in dictionary_of(subject, "neurons").layers]).numpy()


def attribution_graph(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int) -> Evidence:
    """Which values' tokens the decision was traced back to."""
    scores: Scores = np.zeros(len(FIELDS))
    at = {value_position(field): field for field in range(len(FIELDS))}
    swept = 0
    with counted(subject) as passes:
        for text, said, foil in zip(transcript.prompts, transcript.answers, transcript.foils, strict=True):
            graph = ask(
                subject,
                "attribution_graph",
                prompt=text,
                dictionary="neurons",
                targets=(said,),
                foil=foil,
                max_feature_nodes=GRAPH_FEATURES,
                node_threshold=1.0,
            )
            # The sweep carries one gradient for every feature node and one for the answer.
            swept += graph["n_active_features"] - graph["n_features_left_out"] + 1
            for node in graph["nodes"]:
                if node["kind"] == "token" and node["position"] in at:
                    scores[at[node["position"]]] += (node["influence_share"] or 0.0) / len(transcript.prompts)
        passes.add(BACKWARD * swept)
    return Evidence(scores, len(transcript.shown) + BACKWARD * swept, passes.count)


ARMS: dict[str, Arm] = {
    arm.__name__: arm
    for arm in (samples_only, prompting, gradient, relp, relp_path, logit_lens, dictionary, attribution_graph)
}
WHITE_BOX = ("gradient", "relp", "relp_path", "logit_lens", "dictionary", "attribution_graph")
