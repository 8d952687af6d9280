"""The table of the hidden-rule benchmark: every figure, beside those published, and one sentence that code words."""

import datetime
from collections.abc import Sequence
from statistics import mean

import torch

from ..organisms._hidden_training import BAR, Kind
from ._hidden_figures import CHOSEN, SECOND, SHOWN, Audited, accuracy, best_white_box, figures, gains, of_arm
from ._hidden_intervals import DRAWS, Case, average, each, interval
from ._hidden_trials import FIELDS_ONLY, LEAST, RELP_FIELDS, TRUE_FIELDS, Outcome
from ._process_cost import machine

# Pando (2604.11061, 2026), Gemma-2-2B: none, faithful, unfaithful (per cent), by the arm here that is most like theirs.
PUBLISHED: dict[str, tuple[str, tuple[float, float, float]]] = {
    "samples_only": ("sample-only", (75.0, 73.0, 75.0)),
    "prompting": ("prefill", (76.4, 81.8, 73.1)),
    "gradient": ("gradient", (77.9, 75.8, 77.6)),
    "relp": ("RelP", (79.7, 79.4, 78.7)),
    "logit_lens": ("logit lens", (74.6, 72.8, 75.5)),
    "attribution_graph": ("circuit-tracer", (73.3, 70.7, 75.5)),
}
ORDER: tuple[Kind, ...] = ("none", "faithful", "unfaithful")  # as published


def table(audited: Audited, command: str, seed: int) -> str:
    """The figures with the machine and the day they are from, beside those published."""
    every = audited.outcomes
    lines = [*_measured(audited, command, seed), "", beside_black_box(every), ""]
    lines += ["## Accuracy by arm and kind of explanation", ""]
    lines += [
        "Per cent. *Matched* is a black box that spends as many passes as the arm ran; published figures are Pando's"
    ]
    lines += ["(2604.11061, 2026; Gemma-2-2B), of the arm most like it, in the order none / faithful / unfaithful.", ""]
    lines += ["| arm | none | faithful | unfaithful | passes: least | run | matched | published |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    lines += [_accuracy_row(every, arm) for arm in SHOWN]
    lines += ["", *_arms_explained(), "", "## Fields by depth of the rule", ""]
    depths = sorted({one.depth for one in every})
    heads = " | ".join(f"F1, depth {depth} | AUROC" for depth in depths)
    lines += [f"| arm | {heads} |", f"| --- |{' --- | --- |' * len(depths)}"]
    lines += [_fields_row(every, arm, depths) for arm in SHOWN if arm not in (RELP_FIELDS, FIELDS_ONLY, TRUE_FIELDS)]
    lines += ["", "## Accuracy by depth, explanations none and unfaithful", ""]
    lines += [f"| arm | {' | '.join(f'depth {depth}' for depth in depths)} |", f"| --- |{' --- |' * len(depths)}"]
    lines += [_depth_row(every, arm, depths) for arm in SHOWN]
    lines += ["", *_every_figure(audited), "", "## Refused", ""]
    lines += [f"Attempts that stayed below {BAR} and were made again with another rule: {len(audited.refused)}."]
    lines += [f"- {line}" for line in audited.refused]
    return "\n".join(lines) + "\n"


def _measured(audited: Audited, command: str, seed: int) -> list[str]:
    every = audited.outcomes
    organisms, transcripts = {one.organism for one in every}, {one.transcript for one in every}
    starts = {one.cluster for one in every if one.planting == SECOND}
    return [
        f"Measured {datetime.date.today().isoformat()} on {machine()}, torch {torch.__version__}, by `{command}`.",
        "",
        f"{len(organisms)} organisms with a hidden rule, all of seed {seed}, {len(transcripts)} transcripts each: ten",
        "labelled pairs, then ninety decisions to foretell. Making the organisms took",
        f"{audited.build_cpu_seconds:.0f} processor seconds. Intervals are 95 %: percentiles of {DRAWS} draws of",
        f"organisms anew within depth and planting; adapters that change the same model ({len(starts)} such models) go",
        "together. None is given below five organisms, or where depth and planting have a single start.",
    ]


def beside_black_box(every: Sequence[Outcome]) -> str:
    """How the best white-box arm of each kind stands to the black box of least passes, in one line."""
    told: list[str] = []
    for kind in ORDER:
        if not of_arm(every, LEAST, kind):
            continue
        arm = best_white_box(every, kind)
        ours, theirs = (average(each(of_arm(every, one, kind), accuracy)) for one in (arm, LEAST))
        ends = interval(gains([one for one in every if one.kind == kind], arm, LEAST))
        sure = f" (interval of the difference {100 * ends[0]:+.1f} to {100 * ends[1]:+.1f})" if ends else ""
        word = "above" if ours > theirs else "below"
        told.append(
            f"{kind}: `{arm}` {100 * ours:.1f} ({_passes(every, arm)} passes) to {100 * theirs:.1f}, "
            f"{100 * abs(ours - theirs):.1f} points {word}{sure}"
        )
    least = _passes(every, LEAST)
    return (
        f"Accuracy in per cent of the best white-box arm, picked on these very organisms, beside `{LEAST}` ({least} "
        f"passes), by what a model explains: {'; '.join(told)}."
    )


def _passes(every: Sequence[Outcome], arm: str) -> str:
    return f"{mean(one.least_passes for one in of_arm(every, arm)):.0f}"


def _every_figure(audited: Audited) -> list[str]:
    lines = [f"## The arm named beforehand, `{CHOSEN}`, and every figure", ""]
    lines += [
        f"`{CHOSEN}` was found by trying ways of reading gradients on organisms of seed 0 and named before any of"
    ]
    lines += [f"those here was made. No cut and no predictor was chosen on the planting `{SECOND}`, of any seed."]
    lines += ["Gains are of organisms that explain themselves falsely or not at all. A target is met where the lower"]
    lines += ["end of the interval reaches it, not where the value does.", ""]
    lines += ["| figure | value | interval | n | target | met |", "| --- | --- | --- | --- | --- | --- |"]
    for name, one in figures(audited).items():
        met = {True: "yes", False: "no", None: ""}[one.met]
        ends = "" if one.low is None else f"{one.low:.3f} to {one.high:.3f}"
        lines.append(f"| {name} | {one.value:.3f} | {ends} | {one.n} | {one.target} | {met} |")
    return lines


def _arms_explained() -> list[str]:
    return [
        f"`{CHOSEN}` is `relp` averaged over three points on the way from a record without values to the record;",
        f"`{LEAST}` has as many passes as the least that gradients need, and uses the decisions it sees;",
        f"`{RELP_FIELDS}` uses the scores of `relp` without the decisions that it foretells.",
        f"`{FIELDS_ONLY}` asks the same as `{LEAST}` and uses the scores of fields alone, as most white-box arms do.",
        f"`{TRUE_FIELDS}` is told which fields the rule asks about: what perfect scores of fields would give here.",
    ]


def _accuracy_row(every: Sequence[Outcome], arm: str) -> str:
    some = of_arm(every, arm)
    cells = [_cell(each(of_arm(every, arm, kind), accuracy)) for kind in ORDER]
    matched = each(some, lambda one: one.matched)
    passes = [
        f"{mean(map(float, values)):.0f}"
        for values in zip(*((o.least_passes, o.run_passes) for o in some), strict=True)
    ]
    name, published = PUBLISHED.get(arm, ("", ()))
    beside = f"{name}: {' / '.join(f'{one:.1f}' for one in published)}" if name else ""
    return f"| {arm} | {' | '.join([*cells, *passes, _percent(matched), beside])} |"


def _fields_row(every: Sequence[Outcome], arm: str, depths: Sequence[int]) -> str:
    cells: list[str] = []
    for depth in depths:
        some = [one for one in of_arm(every, arm) if one.depth == depth]
        scored = each(some, lambda one: one.auroc)
        cells += [f"{average(each(some, lambda one: one.f1)):.2f}", f"{average(scored):.3f}" if scored else ""]
    return f"| {arm} | {' | '.join(cells)} |"


def _depth_row(every: Sequence[Outcome], arm: str, depths: Sequence[int]) -> str:
    hidden = [one for one in of_arm(every, arm) if one.kind != "faithful"]
    cells = [_percent(each([one for one in hidden if one.depth == depth], accuracy)) for depth in depths]
    return f"| {arm} | {' | '.join(cells)} |"


def _cell(cases: Sequence[Case]) -> str:
    ends = interval(cases)
    return _percent(cases) + (f" ({100 * ends[0]:.0f}–{100 * ends[1]:.0f})" if ends else "")


def _percent(cases: Sequence[Case]) -> str:
    return f"{100 * average(cases):.1f}" if cases else ""
