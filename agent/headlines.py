"""One line per measurement: what it found, in words, with every figure a reference to it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..tools import Measurement
from .planners._plain import name, number, say, share
from .report._causal_headlines import CAUSAL_HEADLINES
from .report._circuit_words import circuit_headline
from .report.schema import Sentence

FORCED = "The dictionary was forced: it was not, or is not known to be, trained on these weights."

Headline = Callable[[Measurement], Sentence]


def headline(measurement: Measurement) -> Sentence:
    """What a measurement found, in one sentence, and that its dictionary was forced where it was."""
    write = _BY_TOOL.get(measurement.tool)
    found = write(measurement) if write else say(f"Measured with {name(measurement.tool)}; see its result.")
    return say(found.text, FORCED) if measurement.result.get("dictionary_forced") else found


def _next_token(m: Measurement) -> Sentence:
    answers = m.result["answers"]
    if m.result["accuracy"] is not None and len(answers) > 1:
        return say(
            "The model answers", share(m.id, "accuracy"), "of", number(m.id, "n_prompts", "d"), "prompts as expected."
        )
    top = name(answers[0]["top"][0][0].strip())
    return say(f"The most likely answer is {top}, with probability", number(m.id, "answers.0.top.0.1") + ".")


def _patch(m: Measurement) -> Sentence:
    cells: list[dict[str, Any]] = m.result["cells"]
    best = max(range(len(cells)), key=lambda i: cells[i]["effect"])
    place = f"{name(cells[best]['site'])} at {where(cells[best]['position'])}"
    if out := m.args.get("without"):
        place += f", with {', '.join(map(name, out))} taken out,"
    if m.subject.reinit_seed is not None:
        # Its own gap is next to nothing, so an effect as a share of it would mislead.
        return say(
            f"With re-initialised weights {place} moves",
            share(m.id, f"cells.{best}.moved"),
            "of the answers, and the logit difference by",
            number(m.id, f"cells.{best}.drops.mean", ".2g"),
            "nats.",
        )
    if len(cells) == 1:
        return say(
            f"{place} moves",
            share(m.id, "cells.0.moved"),
            "of the answers, effect",
            number(m.id, "cells.0.effect") + ".",
        )
    return say(
        "Of",
        number(m.id, "cells.len", "d"),
        "places the largest effect is",
        number(m.id, f"cells.{best}.effect"),
        f"at {place} (answers moved:",
        share(m.id, f"cells.{best}.moved") + ").",
    )


def where(position: str) -> str:
    """A position of the patch tool in plain words."""
    return {
        "entity": "the swapped word",
        "last": "the last token",
        "differs": "the tokens that differ",
    }.get(position, f"token {name(position)}")


def _substitutions(m: Measurement) -> Sentence:
    changed = [s for s in m.result["substitutions"] if not s["keeps"]]
    words = ", ".join(dict.fromkeys(name(s["word"]) for s in changed))
    if not changed:
        return say("No replacement of a word changes the answer.")
    return say(f"Replacing these words can change the answer: {words}.")


def _logit_lens(m: Measurement) -> Sentence:
    layers = m.result["prompts"][0]["layers"]
    if not layers[0]["tracked"]:
        return say("The most likely tokens were read through the layers.")
    word = name(layers[0]["tracked"][0]["word"])
    first = next((i for i, layer in enumerate(layers) if layer["tracked"][0]["rank"] == 1), None)
    last = len(layers) - 1
    final = number(m.id, f"prompts.0.layers.{last}.tracked.0.probability")
    if first is None:
        return say(f"{word} is the lens's first choice at no layer; its probability ends at", final + ".")
    return say(f"{word} is the lens's first choice from {name(layers[first]['site'])} on, and ends at", final + ".")


def _feature_activations(m: Measurement) -> Sentence:
    features = sorted(m.result["features"], key=lambda f: -abs(f["peak"]))[:3]
    shown = ", ".join(name(f"{f['layer']}/{f['feature']} at {f['peak_token'].strip()}") for f in features)
    return say(f"Strongest on the prompt: {shown}.")


def _describe_feature(m: Measurement) -> Sentence:
    contexts = m.result["contexts"]
    if not contexts:
        return say("The feature fires on none of the texts.")
    peaks = dict.fromkeys(c["tokens"][c["peak"]].strip() for c in contexts)
    promoted = ", ".join(name(t["token"].strip()) for t in m.result["promoted"][:3])
    return say(f"It fires most at {', '.join(map(name, list(peaks)[:3]))}, and directly promotes {promoted}.")


def _feature_contrast(m: Measurement) -> Sentence:
    return say(
        "With the word in place and not with another it fires in",
        share(m.id, "cells.0.moved"),
        "of pairs, effect",
        number(m.id, "cells.0.effect") + ".",
    )


def _answer_contrast(m: Measurement) -> Sentence:
    return say(
        "The answer leans to one word here and to the other there in",
        share(m.id, "cells.0.moved"),
        "of pairs, effect",
        number(m.id, "cells.0.effect") + ".",
    )


def _trigger_scan(m: Measurement) -> Sentence:
    cell = m.result["cells"][0]
    if not cell["payload"]:
        return say("None of", number(m.id, "n_tried", "d"), "words turned any prompt to another word than itself.")
    return say(
        "Of",
        number(m.id, "n_tried", "d"),
        f"words {name(cell['site'])} turned most prompts to one answer, {name(cell['payload'])}:",
        share(m.id, "cells.0.moved"),
        "of",
        number(m.id, "n_prompts", "d") + ".",
    )


def _supernode_effect(m: Measurement) -> Sentence:
    done = "exchanged" if m.args["mode"] == "swap" else "taken out"
    moved = "answers moved:" if m.args["mode"] == "swap" else "answers lost:"
    group = f"With the features named {name(m.args['supernode'])} {done}"
    if m.subject.reinit_seed is not None:
        # Its own gap is next to nothing, so an effect as a share of it would mislead.
        return say(
            f"{group}, re-initialised weights move by",
            number(m.id, "cells.0.drops.mean", ".2g"),
            f"nats ({moved}",
            share(m.id, "cells.0.moved") + ").",
        )
    return say(
        f"{group} the effect is", number(m.id, "cells.0.effect"), f"({moved}", share(m.id, "cells.0.moved") + ")."
    )


def _select_features(m: Measurement) -> Sentence:
    return say(
        number(m.id, "features.len", "d"),
        "features hold",
        share(m.id, "influence_share"),
        "of the influence. Replacement with them alone:",
        share(m.id, "scores.picked.replacement") + "; with all features:",
        share(m.id, "scores.whole.replacement") + "; with as many at random:",
        share(m.id, "scores.random.replacement.mean") + ".",
    )


def _make_probes(m: Measurement) -> Sentence:
    found = say("Made", number(m.id, "probes.len", "d"), "probes for", number(m.id, "concepts.len", "d"), "concepts.")
    without = ", ".join(map(name, m.result["concepts_without_probes"][:4]))
    return say(found.text, f"No text was found for {without}.") if without else found


def _feature_signatures(m: Measurement) -> Sentence:
    features: list[dict[str, Any]] = m.result["features"]
    best = max(range(len(features)), key=lambda i: features[i]["peak"])
    read = say(
        "Read", number(m.id, "features.len", "d"), "features on", number(m.id, "probes.len", "d"), "probes;"
    ).text
    if not features[best]["readings"]:
        return say(read, "none of them fires.")
    top = max(features[best]["readings"], key=lambda reading: reading["peak"])
    which = name(f"{features[best]['layer']}/{features[best]['feature']}")
    peak = number(m.id, f"features.{best}.peak")
    return say(read, "the largest activation is", peak, f"of {which} at {name(top['token'].strip())}.")


def _probe_prompts(m: Measurement) -> Sentence:
    groups = Counter(f["group"] for f in m.result["features"])
    named = ", ".join(name(node["name"]) for node in m.result["supernodes"][:4])
    if not named:
        return say("No feature fired on the probes.")
    most = ", ".join(group.lower() for group, _ in groups.most_common())
    said = say(f"Features fall into these classes, the largest first: {most}. Largest groups: {named}.")
    if not m.result["n_refused"] or m.result["maker"] != "given":
        return said
    unread = number(m.id, "n_refused", "d")
    return say(said.text, f"Of the probes that were given, {unread} cannot be read by the model and are left out.")


def _steer(m: Measurement) -> Sentence:
    points = m.result["points"]
    best = max(range(len(points)), key=lambda i: sum(points[i]["answered"]))
    return say(
        "At strength",
        number(m.id, f"points.{best}.strength", "g"),
        "the logit difference moves by",
        number(m.id, f"points.{best}.effect", ".1f"),
        "nats, and the perplexity of neutral text is multiplied by",
        number(m.id, f"points.{best}.perplexity_ratio") + ".",
    )


def _attribution_graph(m: Measurement) -> Sentence:
    return say(
        "Of the influence that ends in tokens or errors",
        share(m.id, "replacement_score"),
        "is from tokens (replacement);",
        share(m.id, "completeness_score"),
        "of the nodes' inputs are from no error (completeness).",
    )


def _attention_patterns(m: Measurement) -> Sentence:
    heads: list[dict[str, Any]] = m.result["heads"]
    if heads[0]["to_previous"] is None:
        return say("The prompt is one token, so every head looks at that.")

    def most(kind: str) -> str:
        best = max(range(len(heads)), key=lambda i: heads[i][kind])
        share, chance = number(m.id, f"heads.{best}.{kind}"), number(m.id, f"uniform.{kind}")
        return f"{name(heads[best]['head'])} ({share} of its attention; {chance} if it looked at all alike)"

    return say(
        "Of",
        number(m.id, "heads.len", "d"),
        f"heads the one that looks most at the token before is {most('to_previous')}, and the one that looks most at "
        f"the first token {most('to_first')}.",
    )


_BY_TOOL: dict[str, Headline] = CAUSAL_HEADLINES | {
    "answer_contrast": _answer_contrast,
    "attention_patterns": _attention_patterns,
    "attribution_graph": _attribution_graph,
    "circuit_search": circuit_headline,
    "describe_feature": _describe_feature,
    "feature_activations": _feature_activations,
    "feature_contrast": _feature_contrast,
    "feature_signatures": _feature_signatures,
    "logit_lens": _logit_lens,
    "make_probes": _make_probes,
    "next_token": _next_token,
    "patch": _patch,
    "probe_prompts": _probe_prompts,
    "select_features": _select_features,
    "steer": _steer,
    "substitutions": _substitutions,
    "supernode_effect": _supernode_effect,
    "trigger_scan": _trigger_scan,
}
