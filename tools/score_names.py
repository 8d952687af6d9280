"""How well features' names tell where the features fire, on contexts that the names were not made from.

Detection and fuzzing scores of Paulo, Mallen, Juang and Belrose, "Automatically Interpreting Millions of Features in
Large Language Models" (2024); definitions and deviations at `_name_scores.py`. Names permuted over the features are the
control. A score is about where a feature fires; what it does, only an intervention shows.

Two scorers answer the same questions. The deterministic simulator (`_name_simulator.py`) goes by the name's words and
the task data. Or someone else answers, a language model for one: run with `list_questions`, have each question answered
by yes or no, and run again with the same arguments and the answers in `judgements`. A question holds a name and a
context, never what is right, and an answer is bound to its question by a digest of both, so that what answers can be
wrong but cannot see or choose what it is scored on. Each question is to be put alone: several of one name side by side
tell something of each other.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._dictionary import Dictionary
from ._dictionary_file import dictionary_of
from ._name_contexts import held_out, neutral_texts, sought_in
from ._name_control import Candidate, MeanScore, NameScore, score_all
from ._name_scores import KINDS, ByAnswers, BySimulator, Kind, Listing, Scorer, Trials, marked_text, trials_of
from ._name_simulator import Naming, Simulator
from ._probe_groups import Group, Thresholds
from ._probe_signatures import Feature, Read, read_features
from ._probe_tokens import FunctionWords, function_words
from ._subject import Subject

LONGEST_NAME = 500
MOST_TEXTS = 5000
MOST_QUESTIONS = 100_000


class NamedFeature(Frozen):
    """A feature with the name to be scored."""

    feature: str = Field(description="LAYER/FEATURE.")
    name: str = Field(max_length=LONGEST_NAME, description="Its name; a feature of an empty one is not scored.")
    group: Group = Field(description="Its class, which says how the name is to be read.")


class NameJudgement(Frozen):
    """An answer of someone else, checked as text from outside."""

    model_config = ConfigDict(strict=True)

    question: str = Field(pattern="^[0-9a-f]{16}$", description="Id of the question.")
    answer: bool = Field(description="Whether the context fires, or the marks are right.")


class ScoreNamesArgs(ToolArgs):
    features: tuple[NamedFeature, ...] = Field(min_length=1, max_length=1000, description="Features with their names.")
    contexts: tuple[str, ...] = Field(
        (), max_length=MOST_TEXTS, description="Texts that the names were not made from, such as held-out probes."
    )
    seen: tuple[str, ...] = Field(
        (), max_length=MOST_TEXTS, description="Texts that they were made from: none of these is a context."
    )
    neutral: int = Field(
        400, ge=0, le=MOST_TEXTS, description="Neutral texts of the model to add as contexts at most (count)."
    )
    prompt: str = Field(
        "",
        description="Prompt that the names were made for; neutral texts that its concepts were sought in are left out.",
    )
    split_as: str = Field("", description="As the names were made with; says which of those texts kept nothing back.")
    naming_seed: int = Field(0, ge=0, description="Seed that the names were made with; says which texts those are.")
    per_kind: int = Field(20, ge=1, le=1000, description="Contexts of either sort for each score at most (count).")
    fewest: int = Field(5, ge=1, le=1000, description="With fewer of either sort a feature is not scored (count).")
    fires_above: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="A feature fires above this part of its largest activation on the contexts (share).",
    )
    permutations: int = Field(100, ge=1, le=10_000, description="Control: permutations of the names (count).")
    list_questions: bool = Field(False, description="List what is asked, for someone else to answer.")
    judgements: tuple[NameJudgement, ...] = Field(
        (), max_length=MOST_QUESTIONS, description="Answers to all questions; none for the deterministic simulator."
    )
    scorer: str = Field("", max_length=200, description="Who gave the judgements, such as a model's name.")
    dictionary: str = Field(
        "transcoders", description="`transcoders`, `neurons`, another name, a path, or hub:ORG/REPO/PATH."
    )
    force_dictionary: bool = Field(
        False, description="Use a dictionary that was not, or is not known to be, trained on these weights."
    )
    language: str = Field("en", description="Whose function words are grammar: en, de, es, fr, zh, or a JSON file.")
    seed: int = Field(0, ge=0, description="Seed of the choice of contexts and marks, and of permutations.")

    @model_validator(mode="after")
    def _says_who_judged(self) -> "ScoreNamesArgs":
        if bool(self.judgements) != bool(self.scorer.strip()) or not self.scorer.isprintable():
            raise ValueError("`judgements` and `scorer` go together; `scorer` is one printable line")
        return self


class AskedQuestion(Frozen):
    """A question for someone else. It does not tell which feature it is about."""

    id: str = Field(description="What an answer names.")
    kind: Kind = Field(description="detection: does a feature of this name fire here? fuzzing: are the marks right?")
    name: str = Field(description="The name.")
    group: Group = Field(description="Its class.")
    text: str = Field(description="The context; for fuzzing with marks << >> around tokens.")


class ScoredFeature(Frozen):
    """One feature's name, scored."""

    layer: int = Field(description="Layer of the feature.")
    feature: int = Field(description="Index in the layer's dictionary.")
    name: str = Field(description="The name.")
    group: Group = Field(description="Its class.")
    detection: NameScore | None = Field(description="Telling contexts that fire from others; none if not scored.")
    fuzzing: NameScore | None = Field(description="Telling right marks from wrong ones; none if not scored.")
    not_scored: str = Field(description="What was not scored and why; empty where both were.")
    n_firing: int = Field(description="Contexts in which it fires (count).")
    n_silent: int = Field(description="Contexts in which it does not (count).")


class ScoreNamesResult(ToolResult):
    simulator: Literal["deterministic", "judgements"] = Field(description="Who answered.")
    scorer: str = Field(description="Who gave the judgements; empty for the simulator.")
    features: tuple[ScoredFeature, ...] = Field(description="By layer, then index.")
    detection: MeanScore | None = Field(description="Mean detection score; none where no feature could be scored.")
    fuzzing: MeanScore | None = Field(description="Mean fuzzing score; none where no feature could be scored.")
    questions: tuple[AskedQuestion, ...] = Field(description="All that is asked, if asked for; in no telling order.")
    n_questions: int = Field(description="Different questions, those of the control included (count).")
    n_contexts: int = Field(description="Contexts, as given (count).")
    n_neutral: int = Field(description="Neutral texts beside them (count).")
    dictionary: str = Field(description="Dictionary that was read.")
    dictionary_digest: str = Field(description="SHA-256 of that dictionary.")
    dictionary_forced: bool = Field(description="Whether it was not, or is not known to be, trained on these weights.")


@tool
def score_names(subject: Subject, args: ScoreNamesArgs, progress: Progress = silent) -> ScoreNamesResult:
    """Score features' names: do they tell where the features fire, on held-out texts and beside names put elsewhere?

    Raises:
        ToolError: no such dictionary, feature or language, a feature twice, a context that the model cannot read or
            that names were made from, no context, or judgements that do not answer the questions.
    """
    grammar = function_words(args.language)
    dictionary = dictionary_of(subject, args.dictionary, force=args.force_dictionary)
    named = _named(dictionary, args)
    given = held_out(subject, args.contexts, args.seen)
    neutral = _neutral(subject, args, given, grammar)
    progress(0, 2, f"reading {len(given) + len(neutral)} contexts")
    read = read_features(subject, dictionary, [*named], [*given, *neutral])
    progress(1, 2, "scoring names")
    trials = [
        trials_of(read, column, args.fires_above, args.per_kind, args.fewest, f"{args.seed} {one[0]}/{one[1]}")
        for column, one in enumerate(named)
    ]
    candidates = [_candidates(subject, read, [*named.values()], trials, kind) for kind in KINDS]
    asked = _asked(args, candidates, read)
    scorer = _scorer(subject, args, grammar, asked)
    found = [score_all([*one.values()], read, scorer, args.permutations, args.seed) for one in candidates]
    detection, fuzzing = (
        dict(zip(one, scores, strict=True)) for one, (scores, _) in zip(candidates, found, strict=True)
    )
    progress(2, 2, "scored")
    return ScoreNamesResult(
        simulator="judgements" if args.judgements else "deterministic",
        scorer=args.scorer.strip(),
        features=tuple(
            _scored(one, naming, trials[i], detection.get(i), fuzzing.get(i), args.fewest)
            for i, (one, naming) in enumerate(named.items())
        ),
        detection=found[0][1],
        fuzzing=found[1][1],
        questions=_listed(asked) if args.list_questions else (),
        n_questions=len(asked.asked),
        n_contexts=len(given),
        n_neutral=len(neutral),
        dictionary=dictionary.name,
        dictionary_digest=dictionary.digest,
        dictionary_forced=dictionary.forced,
    )


def _named(dictionary: Dictionary, args: ScoreNamesArgs) -> dict[Feature, Naming]:
    """Features with their names, by layer, then index."""
    found = [(dictionary.feature(one.feature), Naming(one.name.strip(), one.group)) for one in args.features]
    named = {(layer.layer, index): naming for (layer, index), naming in found}
    if len(named) < len(found):
        raise ToolError("A feature is given twice.", mend="Give each feature one name.")
    return dict(sorted(named.items()))


def _neutral(subject: Subject, args: ScoreNamesArgs, given: Sequence[str], grammar: FunctionWords) -> tuple[str, ...]:
    """The model's neutral texts that no name was made from."""
    barred = {*given, *args.seen}
    if args.prompt:
        barred |= sought_in(subject, args.prompt, args.naming_seed, grammar, args.split_as)
    found = neutral_texts(subject, barred, args.neutral, args.seed)
    if not given and not found:
        raise ToolError("There is no context to score names on.", mend="Pass some in `contexts`.")
    return found


def _candidates(
    subject: Subject, read: Sequence[Read], names: Sequence[Naming], trials: Sequence[Trials], kind: Kind
) -> dict[int, Candidate]:
    """The features that can be scored, by their place."""
    found = {}
    for place, (naming, both) in enumerate(zip(names, trials, strict=True)):
        mine = both.detection if kind == "detection" else both.fuzzing
        if naming.name and mine:
            texts = (
                marked_text(read[one.context], subject.reader.split(read[one.context].text).offsets, one.marked)
                for one in mine
            )
            found[place] = Candidate(naming, mine, tuple(texts))
    return found


def _asked(args: ScoreNamesArgs, candidates: Sequence[dict[int, Candidate]], read: Sequence[Read]) -> Listing:
    """All that scoring will ask."""
    asked = Listing()
    for one in candidates:
        score_all([*one.values()], read, asked, args.permutations, args.seed)
    if args.list_questions and len(asked.asked) > MOST_QUESTIONS:
        raise ToolError(
            f"{len(asked.asked)} questions would be asked, and at most {MOST_QUESTIONS} answers are read.",
            mend="Lower `permutations` or `per_kind`, or name fewer features.",
        )
    return asked


def _scorer(subject: Subject, args: ScoreNamesArgs, grammar: FunctionWords, asked: Listing) -> Scorer:
    if not args.judgements:
        return BySimulator(Simulator(subject.tasks, grammar, Thresholds().window))
    answers = {one.question: one.answer for one in args.judgements}
    if len(answers) < len(args.judgements):
        raise ToolError("A question is answered twice.", mend="Give each question one answer.")
    strange, missing = sorted(set(answers) - set(asked.asked)), sorted(set(asked.asked) - set(answers))
    if strange or missing:
        which = ", ".join((strange or missing)[:3])
        raise ToolError(
            f"{len(missing)} of {len(asked.asked)} questions have no answer, and {len(strange)} answers belong to none "
            f"of them ({which}).",
            mend="Run with `list_questions` and otherwise the same arguments, and answer each of its questions.",
        )
    return ByAnswers(answers)


def _listed(asked: Listing) -> tuple[AskedQuestion, ...]:
    """By id, so that the order gives nothing away."""
    return tuple(
        AskedQuestion(id=name, kind=one.kind, name=one.naming.name, group=one.naming.group, text=one.text)
        for name, one in sorted(asked.asked.items())
    )


def _scored(
    feature: Feature,
    naming: Naming,
    trials: Trials,
    detection: NameScore | None,
    fuzzing: NameScore | None,
    fewest: int,
) -> ScoredFeature:
    why = []
    if not naming.name:
        why.append("it has no name")
    else:
        if detection is None:
            why.append(
                f"detection: fires in {trials.n_firing} contexts, not in {trials.n_silent}; {fewest} of each due"
            )
        if fuzzing is None:
            why.append(f"fuzzing: {trials.n_markable} contexts can be marked wrongly; {2 * fewest} are due")
    return ScoredFeature(
        layer=feature[0],
        feature=feature[1],
        name=naming.name,
        group=naming.group,
        detection=detection,
        fuzzing=fuzzing,
        not_scored="; ".join(why),
        n_firing=trials.n_firing,
        n_silent=trials.n_silent,
    )
