"""The whole path: questions about the reference model whose true answer is known, and questions that have none.

Power: "why does the model answer CAPITAL after PROMPT about CITY" must end with a supported, replicated claim that the
state is held at the city's token, at sites where it was placed or formed. False claims: the same questions with a wrong
capital must say that the premise does not hold, and on re-initialised weights nothing may be claimed.
"""

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...agent.asking import Where, ask, desk_for, start_run
from ...agent.report.schema import Report, read_report
from ...tools import Progress, Subject, load_subject
from ..metric import Metric, share_metric

QUESTIONS = 8
TRUE_SITES = {"resid_post.0", "resid_post.1"}  # the state is formed by block 0, stands in its place after block 1
FALSE_SITES = {"resid_pre.0", "resid_post.2", "resid_post.3"}


@dataclass(frozen=True)
class Question:
    """A question about one city, with the capital it asks about."""

    prompt: str
    answer: str

    @property
    def text(self) -> str:
        """As a user would put it."""
        return f"Why does the model answer '{self.answer}' after '{self.prompt}'?"


def measure(seed: int, progress: Progress) -> dict[str, Metric]:
    """Ask, and count what the reports claim."""
    subject = load_subject("atlas")
    right, wrong = _questions(subject, seed)
    with tempfile.TemporaryDirectory() as folder:
        where = Where(Path(folder), use_memory=False)
        twin = _saved_twin(subject, Path(folder) / "twin")
        rounds = [(subject, q) for q in (*right, *wrong)] + [(twin, q) for q in right]
        reports = []
        for done, (model, question) in enumerate(rounds):
            progress(done, len(rounds), question.text)
            reports.append(_report(where, model, question))
    answered, refused, null = (reports[i : i + QUESTIONS] for i in range(0, len(rounds), QUESTIONS))
    placed = [bool(_supported_sites(report) & TRUE_SITES) for report in answered]
    false = [bool(_supported_sites(report) & FALSE_SITES) for report in answered]
    return {
        "state_found_where_it_is": share_metric(sum(placed), len(placed), at_least=0.95),
        "state_claimed_where_it_is_not": share_metric(sum(false), len(false), at_most=0.0),
        "wrong_premise_refused": share_metric(sum(r.premise.holds is False for r in refused), len(refused), at_least=1),
        "null_model_with_a_claim": share_metric(sum(any(_supported(r)) for r in null), len(null), at_most=0.0),
    }


def _questions(subject: Subject, seed: int) -> tuple[list[Question], list[Question]]:
    family = next(f for f in subject.tasks if f.name == "two_hop")
    rng = random.Random(seed)
    rows = rng.sample([row for row in family.rows if row.split == "train"], QUESTIONS)
    capitals = sorted({row.slots["capital"] for row in family.rows})
    right = [Question(rng.choice(family.templates).fill(row.slots), row.slots["capital"]) for row in rows]
    wrong = [Question(q.prompt, rng.choice([c for c in capitals if c != q.answer])) for q in right]
    return right, wrong


def _report(where: Where, subject: Subject, question: Question) -> Report:
    run = start_run(where, subject, question.text, seed=0, device="cpu")
    with desk_for(where, subject, run) as desk:
        ask(desk, lambda event: None)
    return read_report(run.path / "report.json")


def _supported(report: Report) -> Iterator[str]:
    for claim in report.claims:
        if claim.judgement.verdict == "supported":
            yield claim.id


def _supported_sites(report: Report) -> set[str]:
    """Sites where a supported, replicated claim says that the variable stands."""
    return {
        site
        for claim in report.claims
        if claim.hypothesis.kind == "variable"
        and claim.judgement.verdict == "supported"
        and claim.judgement.tier == "replicated"
        for site in claim.prediction.arms[0].args["sites"]
    }


def _saved_twin(subject: Subject, folder: Path) -> Subject:
    """The reference model with fresh weights, as a model of its own with the same task data."""
    subject.twin(seed=7).model.save_pretrained(folder)
    subject.tokenizer.save_pretrained(folder)
    assert subject.folder is not None
    for name in ("tasks.json", "text.json"):
        (folder / name).write_bytes((subject.folder / name).read_bytes())
    return load_subject(str(folder))
