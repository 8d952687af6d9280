"""Names of features in an investigation: probed, tried on discovery prompts, and proposed as predictions.

The prompt's own features are named first, then those of prompts with other answers, because a name is tested by putting
another value's features in its place. All of it is exploration; what is claimed comes from `proposals`.

Probes are made by the instrument itself, or a language model writes those of every prompt beforehand. The one never
stands in for the other: where what was written cannot be used, that prompt's features are not named, and it is said.
"""

from collections.abc import Iterator, Sequence

from ...tools import Measurement
from ..report.schema import Sentence
from ._pairs import matched_task
from ._plain import name, say
from ._supernode_prompts import Setting, prompts_of_others
from ._supernodes import Named, NameTest, name_tests, worth_sealing
from .interface import Experiment, Inquiry, Proposal, SubjectCard, Task, View
from .llm_kept import Kept
from .llm_written import WrittenProbe

KEY = "probes"
OTHERS = 8  # prompts of other answers, so that enough values can be put in to judge by
SELECTED = 0.8  # share of influence; what `probe_prompts` selects by itself
MOST_TESTED = 6  # supernodes, those of most influence
MOST_LOOKED_AT = 40  # features in whose contexts concepts are looked for; as many as are named


class Naming:
    """The naming of one investigation.

    Args:
        probes_by: Language model that writes the probes; empty where they are made without one.
    """

    def __init__(self, seed: int, probes_by: str = "") -> None:
        self._seed, self._probes_by = seed, probes_by
        # A planner is asked again after every experiment; what names predict hangs on the probes alone.
        self._known: dict[tuple[str, ...], tuple[NameTest, ...]] = {}
        self._kept: dict[str, Kept] = {}
        # Asked for at every step, and always the same of a card and a task.
        self._around: tuple[SubjectCard, Task, Setting | None, tuple[tuple[str, str], ...]] | None = None

    def inquiries(self, view: View) -> Iterator[Experiment | Inquiry]:
        """What a language model is to write, and what it takes to ask it; nothing where none is asked.

        All of it at once, so that an endpoint that does not answer is found out before the costly experiments.
        """
        if not self._probes_by or view.task.kind != "why" or view.card.dictionary is None:
            return
        yield self._selection(view)
        yield from self._context_words(view)
        kept = self._kept_of(view)
        words = tuple(word for word in view.card.words if not kept.tells(word))
        task = view.task
        yield Inquiry(key=KEY, prompt=task.prompt, target=task.answer, contexts=_contexts(view), words=words)
        for prompt, answer in self._others(view):
            yield Inquiry(key=_key(answer), prompt=prompt, target=answer, words=words)

    def explorations(self, view: View) -> Iterator[Experiment]:
        """Name features, then see what the named groups do."""
        task = view.task
        yield self._selection(view)
        why = "what the features of most influence stand for, by where they fire on probe prompts"
        yield from self._probing(view, KEY, task.prompt, task.answer, why)
        setting = self._setting(view)
        if setting is None or KEY not in view.results:
            return
        for prompt, answer in self._others(view):
            why = f"the same where the answer is `{answer}`: values to put in instead"
            yield from self._probing(view, _key(answer), prompt, answer, why)
        for test in self._tests(view, setting):
            yield test.experiment

    def proposals(self, view: View, first: int) -> tuple[Proposal, ...]:
        """Predictions of the names that discovery bears out in all they say, numbered from `first`."""
        setting = self._setting(view)
        if setting is None or KEY not in view.results:
            return ()
        by_name: dict[str, list[NameTest]] = {}
        for test in self._tests(view, setting):
            by_name.setdefault(test.node.name, []).append(test)
        borne_out = [
            test for tests in by_name.values() if all(_borne_out(test, view) for test in tests) for test in tests
        ]
        return tuple(test.proposal(str(number)) for number, test in enumerate(borne_out, start=first))

    def unwritten(self, view: View) -> Iterator[Sentence]:
        """Prompts whose features were not named because nothing that was written for them can be used."""
        for key, written in view.written.items():
            which = "the prompt" if key == KEY else f"the prompt answered {name(key.removeprefix(_key('')))}"
            if written.problem:
                why = f"{name(written.problem)} No other probes were made instead."
                yield say(f"No features of {which} were named: {name(written.model)} wrote no probes.", why)
            elif not self._usable(view, key):
                why = "each tells something that is kept back to confirm."
                yield say(
                    f"No features of {which} were named: of the probes by {name(written.model)} none may be used,", why
                )

    def _tests(self, view: View, setting: Setting) -> tuple[NameTest, ...]:
        """What the names predict, as far as prompts were probed."""
        answers = [answer for _, answer in self._others(view)]
        probed = [view.results[KEY], *(view.results[_key(a)] for a in answers if _key(a) in view.results)]
        known = tuple(one.id for one in probed)
        if known not in self._known:
            assert view.card.dictionary is not None, "features were probed without a dictionary"
            self._known[known] = tuple(_predicted(probed, setting, view.card.dictionary))
        return self._known[known]

    def _setting(self, view: View) -> Setting | None:
        """Task data around the prompt; none where they do not have it."""
        return self._around_of(view)[0]

    def _others(self, view: View) -> tuple[tuple[str, str], ...]:
        """Prompts with other values, each with its answer."""
        return self._around_of(view)[1]

    def _around_of(self, view: View) -> tuple[Setting | None, tuple[tuple[str, str], ...]]:
        if self._around is None or self._around[0] is not view.card or self._around[1] is not view.task:
            found = matched_task(view.task, view.card)
            setting = Setting(view.card.tasks, found[0], view.task.prompt, self._seed) if found else None
            self._around = view.card, view.task, setting, prompts_of_others(setting, OTHERS) if setting else ()
        return self._around[2:]

    def _kept_of(self, view: View) -> Kept:
        if view.task.prompt not in self._kept:
            self._kept[view.task.prompt] = Kept(self._setting(view))
        return self._kept[view.task.prompt]

    def _selection(self, view: View) -> Experiment:
        return Experiment(
            key="selection",
            tool="select_features",
            args={
                "prompt": view.task.prompt,
                "targets": [view.task.answer],
                "dictionary": view.card.dictionary,
                "threshold": SELECTED,
            },
            why="how much of the answer the features of most influence explain, beside random ones",
        )

    def _context_words(self, view: View) -> Iterator[Experiment]:
        """At which words the features in question peak, for whoever writes about them."""
        selected = view.results.get("selection")
        if selected is None or not selected.result["features"] or not view.card.n_texts:
            return
        yield Experiment(
            key="context words",
            tool="make_probes",
            args={
                "prompt": view.task.prompt,
                "target": view.task.answer,
                "features": [one["id"] for one in selected.result["features"][:MOST_LOOKED_AT]],
                "dictionary": view.card.dictionary,
                "seed": self._seed,
            },
            why=f"at which words those features peak in the model's texts, to tell {name(self._probes_by)}",
        )

    def _probing(self, view: View, key: str, prompt: str, target: str, why: str) -> Iterator[Experiment]:
        """The naming of one prompt's features; nothing as long as, or if, its probes cannot be had."""
        args = {"prompt": prompt, "target": target, "dictionary": view.card.dictionary, "seed": self._seed}
        if prompt != view.task.prompt:
            args["split_as"] = view.task.prompt
        if self._probes_by:
            usable = self._usable(view, key)
            if not usable:  # an empty list would have the instrument make its own
                return
            written = view.written[key]
            args["probes"] = [one.model_dump() for one in usable]
            left_out = len(written.probes) - len(usable)
            without = f", {left_out} left out that tell what is kept back" if left_out else ""
            why += f"; probes by the language model {name(written.model)}{without}"
        yield Experiment(key=key, tool="probe_prompts", args=args, why=why)

    def _usable(self, view: View, key: str) -> tuple[WrittenProbe, ...]:
        written, kept = view.written.get(key), self._kept_of(view)
        return tuple(one for one in written.probes if not kept.tells(one.text)) if written else ()


def _contexts(view: View) -> tuple[str, ...]:
    made = view.results.get("context words")
    return tuple(one["label"] for one in made.result["concepts"] if one["role"] == "context") if made else ()


def _predicted(probed: Sequence[Measurement], setting: Setting, dictionary: str) -> Iterator[NameTest]:
    """Predictions of the first prompt's supernodes of most influence, those of the others to be put in."""
    own, *others = probed
    counterparts = {node["name"]: tuple(node["features"]) for one in others for node in one.result["supernodes"]}
    tested = 0
    for node in _by_influence(own):
        tests = name_tests(node, setting, counterparts, dictionary)
        tested += bool(tests)
        if tested > MOST_TESTED:
            return
        yield from tests


def _borne_out(test: NameTest, view: View) -> bool:
    return test.key in view.results and worth_sealing(test, view.results[test.key])


def _by_influence(probed: Measurement) -> list[Named]:
    """Supernodes with a name, those of most influence first."""
    shares = {f"{one['layer']}/{one['feature']}": one["influence_share"] for one in probed.result["features"]}
    nodes = [Named(node["name"], tuple(node["features"])) for node in probed.result["supernodes"] if node["name"]]
    return sorted(nodes, key=lambda node: (-sum(shares[feature] for feature in node.features), node.name))


def _key(answer: str) -> str:
    return f"{KEY} of {answer}"
