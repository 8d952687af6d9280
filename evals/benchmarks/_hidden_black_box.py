"""The black-box arms: as many passes as a white-box arm had, all spent on asking the model to decide.

Values of the ten records shown are exchanged one at a time: what moves yes less no matters. When all single exchanges
are asked, further records are drawn as records come about. No record that will be asked about is ever queried.
"""

import numpy as np

from ...tools import Subject
from ..organisms._hidden_tree import FIELDS, RecordLaw, Records
from ._hidden_evidence import Evidence, Transcript, among, distinct, margins, mean_by_field, single_changes
from ._hidden_passes import counted
from ._hidden_predictor import Labelled

MOST_QUERIES = 2000  # beyond, nothing is left to learn, and forests get slow


def black_box(subject: Subject, law: RecordLaw, transcript: Transcript, seed: int, budget: int) -> Evidence:
    """Spend a budget on queries.

    Args:
        budget: Passes (count).

    Raises:
        ValueError: no budget.
    """
    if budget < 1:
        raise ValueError(f"a budget of {budget} passes asks nothing; pass 1 or more")
    rng = np.random.default_rng([seed, 2])  # other records than the transcript's
    with counted(subject) as passes:
        queries, of, field = plan_queries(law, transcript, rng, min(budget, MOST_QUERIES))
        found = margins(subject, queries)
    changed = field >= 0
    # The records shown are queries too: their decisions were given, but not how sure they were.
    shown = {row: found[row] for row in range(min(len(transcript.shown), len(found)))}
    before = np.array([shown.get(int(one), 0.0) for one in of])
    moved = np.abs(found - before)
    scores = mean_by_field(moved[changed], field[changed])
    new = np.arange(len(queries)) >= min(len(transcript.shown), len(queries))
    more = Labelled(queries[new], found[new] > 0, np.ones(int(new.sum())))
    return Evidence(scores if changed.any() else np.zeros(len(FIELDS)), passes.count, passes.count, more)


def plan_queries(
    law: RecordLaw, transcript: Transcript, rng: np.random.Generator, budget: int
) -> tuple[Records, np.ndarray, np.ndarray]:
    """Records to ask about, with the shown record each was made from and the field exchanged (-1: neither).

    First the ten shown, for how sure the model is; then exchanges, each field of some record before any field again.
    """
    changes = single_changes(transcript.shown)
    order = rng.permutation(len(changes.of))
    turn = np.zeros(len(order), dtype=int)
    met = np.zeros(len(FIELDS), dtype=int)
    for place in order:
        turn[place] = met[changes.field[place]]
        met[changes.field[place]] += 1
    order = order[np.argsort(turn[order], kind="stable")]
    order = order[~among(changes.records[order], transcript.asked)]
    n_shown = len(transcript.shown)
    free = law.records(rng, 2 * budget)
    free = distinct(free[~among(free, np.concatenate([transcript.asked, transcript.shown, changes.records]))])
    records = np.concatenate([transcript.shown, changes.records[order], free])
    nothing = np.full(len(free), -1)
    of = np.concatenate([np.full(n_shown, -1), changes.of[order], nothing])
    field = np.concatenate([np.full(n_shown, -1), changes.field[order], nothing])
    return records[:budget], of[:budget], field[:budget]
