"""A small language for circuits: variables at every position, computed by heads and MLPs, read out as words.

| operation | does | compiled to |
| --- | --- | --- |
| `Attend` | selects earlier positions, by place or by equality of variables, and averages a variable there | head |
| `Lookup` | a table from the labels of one or more variables to a label | neurons of one MLP, one for each row |
| `Pieces` | a label for each stretch of a number's range | neurons of one MLP, one for each corner |
| `Channel` | carries a number along one direction in the space of neurons | neurons of one MLP |

A variable is a distribution over labels at every position (one label with share 1 where it is certain); a number is a
variable with the one label `#`. `tokens` and `positions` are given. A program is data: what is true of its model (which
link carries what) is read off it and never written a second time.

Source of the idea: Weiss, Goldberg, Yahav 2021, "Thinking Like Transformers" (RASP: select and aggregate); Lindner,
Kramár, Farquhar, Rahtz, McGrath, Mikulik 2023, "Tracr: Compiled Transformers as a Laboratory for Interpretability".
Deviations: causal attention throughout; no basis vector of the stream stands for a feature; gates between heads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

TOKENS, POSITIONS = "tokens", "positions"
NUMBER = ("#",)
ALWAYS = ""  # in place of a query's label: whatever stands there

Slot = Literal["q", "k", "v", "mlp_in"]


@dataclass(frozen=True)
class Attend:
    """One head.

    A position is selected where its `key` has the label that `pairs` gives for the asking position's `query`. Where
    nothing is selected, the first position (`<bos>`) is. Without a key every position up to the asking one is, equally.
    """

    name: str
    carries: Mapping[str, tuple[str, float]]  # label of `value` to the label and the amount it adds to this variable
    value: str = TOKENS
    key: str | None = None
    query: str | None = None  # without one, `ALWAYS` stands in the pairs
    pairs: tuple[tuple[str, str], ...] = ()
    first: float = 0.5  # how strongly the first position draws, as a share of how strongly a selected one does
    unless: tuple[str, ...] = ()  # variables whose presence sends the head to the first position
    note: str = ""
    role: str = "MOVER"

    @property
    def domain(self) -> tuple[str, ...]:
        """Labels of the variable that it makes."""
        return tuple(dict.fromkeys(label for label, _ in self.carries.values()))

    def reads(self) -> Iterator[tuple[Slot, str]]:
        """Every variable it reads, with the slot."""
        for name in ((self.query,) if self.query else ()) + self.unless:
            yield "q", name
        if self.key:
            yield "k", self.key
        yield "v", self.value

    def labels(self) -> Iterator[tuple[str, str]]:
        """Every variable and label it names."""
        for asked, found in self.pairs:
            if self.query:
                yield self.query, asked
            if self.key:
                yield self.key, found
        yield from ((self.value, label) for label in self.carries)


@dataclass(frozen=True)
class Lookup:
    """Neurons of one MLP: the label that a table gives for the labels of its inputs, none where it has no row."""

    name: str
    inputs: tuple[str, ...]
    table: Mapping[tuple[str, ...], str]
    note: str = ""
    role: str = "MAPPER"

    @property
    def domain(self) -> tuple[str, ...]:
        """Labels of the variable that it makes."""
        return tuple(dict.fromkeys(self.table.values()))

    def reads(self) -> Iterator[tuple[Slot, str]]:
        """Every variable it reads, with the slot."""
        for name in self.inputs:
            yield "mlp_in", name

    def labels(self) -> Iterator[tuple[str, str]]:
        """Every variable and label it names."""
        for row in self.table:
            yield from zip(self.inputs, row, strict=True)


@dataclass(frozen=True)
class Pieces:
    """Neurons of one MLP: at each point of a number's range a label, in between a mixture, beyond the ends the last."""

    name: str
    inputs: Mapping[str, float]  # the number is the sum of these numbers, each times its weight
    points: tuple[tuple[float, str], ...]
    note: str = ""
    role: str = "INDICATOR"

    @property
    def domain(self) -> tuple[str, ...]:
        """Labels of the variable that it makes."""
        return tuple(dict.fromkeys(label for _, label in self.points))

    def reads(self) -> Iterator[tuple[Slot, str]]:
        """Every variable it reads, with the slot."""
        for name in self.inputs:
            yield "mlp_in", name

    def labels(self) -> Iterator[tuple[str, str]]:
        """Every variable and label it names."""
        yield from ((name, NUMBER[0]) for name in self.inputs)


@dataclass(frozen=True)
class Channel:
    """Neurons of one MLP that carry a number of at most 1 along one direction, spread over all of them.

    A dormant channel is read along one direction and written along another, orthogonal to it: its neurons follow the
    number, its output never moves. It has no variable of its own; what it would write goes `onto` another's.
    """

    name: str
    source: str
    width: int  # neurons (count)
    gain: float = 1.0
    onto: str | None = None  # given: a dormant channel
    note: str = ""
    role: str = "MAPPER"

    @property
    def domain(self) -> tuple[str, ...]:
        """Labels of the variable that it makes."""
        return NUMBER if self.onto is None else ()

    def reads(self) -> Iterator[tuple[Slot, str]]:
        """Every variable it reads, with the slot."""
        yield "mlp_in", self.source

    def labels(self) -> Iterator[tuple[str, str]]:
        """Every variable and label it names."""
        yield from ((name, NUMBER[0]) for name in (self.source, self.onto) if name)


Operation = Attend | Lookup | Pieces | Channel


@dataclass(frozen=True)
class Output:
    """What a variable adds to the logits: for each label the words and their shares of the full height."""

    variable: str
    says: Mapping[str, tuple[tuple[str, float], ...]]


@dataclass(frozen=True)
class Program:
    """Operations in the order of their computation, and the words that the last position answers.

    Raises:
        ValueError: a name that is taken, a variable that nothing made before, or a label that it does not have.
    """

    words: tuple[str, ...]
    length: int  # tokens of a prompt, `<bos>` among them (count)
    operations: tuple[Operation, ...]
    outputs: tuple[Output, ...]
    otherwise: Mapping[str, float] = field(default_factory=dict)  # words that are always said, as shares of the height

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words):
            raise ValueError("A word stands twice in the program's vocabulary. List each once.")
        known = {TOKENS: self.words, POSITIONS: tuple(map(str, range(self.length)))}
        for operation in self.operations:
            if operation.name in known:
                raise ValueError(f"`{operation.name}` is made twice. Give every operation a name of its own.")
            for name, label in (*((name, None) for _, name in operation.reads()), *operation.labels()):
                _refuse_unknown(operation.name, known, name, label)
            known[operation.name] = operation.domain
        for output in self.outputs:
            for label in output.says:
                _refuse_unknown("the output", known, output.variable, label)
        said = {word for o in self.outputs for words in o.says.values() for word, _ in words} | {*self.otherwise}
        if lacking := sorted(said - set(self.words)):
            raise ValueError(f"The output says {', '.join(lacking)}. Say words of the vocabulary.")

    @cached_property
    def by_name(self) -> dict[str, Operation]:
        """Operations by the variable they make."""
        return {operation.name: operation for operation in self.operations}

    @cached_property
    def used(self) -> frozenset[str]:
        """Operations that the output depends on; the others are decoys."""
        found: set[str] = set()
        due = [output.variable for output in self.outputs]
        while due:
            name = due.pop()
            if name in self.by_name and name not in found:
                found.add(name)
                due += [read for _, read in self.by_name[name].reads()]
        return frozenset(found)

    def domain(self, variable: str) -> tuple[str, ...]:
        """Labels of a variable."""
        given = {TOKENS: self.words, POSITIONS: tuple(map(str, range(self.length)))}
        return given[variable] if variable in given else self.by_name[variable].domain

    def varies(self, variable: str) -> bool:
        """Whether it depends on the words: what depends on positions alone is the same in all prompts of one length."""
        if variable in (TOKENS, POSITIONS):
            return variable == TOKENS
        return any(self.varies(read) for _, read in self.by_name[variable].reads())

    def text(self) -> str:
        """The program as lines."""
        lines = [_line(operation) for operation in self.operations]
        said = " + ".join(output.variable for output in self.outputs)
        return "\n".join([*lines, f"answer = {said}"])


def said_as_is(labels: tuple[str, ...], share: float = 1.0) -> dict[str, tuple[tuple[str, float], ...]]:
    """Every label says the word that it is."""
    return {label: ((label, share),) for label in labels}


def kept(labels: tuple[str, ...]) -> dict[str, tuple[str, float]]:
    """Every label is carried as it is; others are dropped."""
    return {label: (label, 1.0) for label in labels}


def _refuse_unknown(by: str, known: Mapping[str, tuple[str, ...]], name: str, label: str | None) -> None:
    if name not in known:
        raise ValueError(f"{by} reads `{name}`, which nothing made before. Order the operations by what they read.")
    if label is not None and label not in known[name]:
        raise ValueError(
            f"{by} names {label!r} of `{name}`, which has no such label. Labels: {', '.join(known[name])}."
        )


def _line(operation: Operation) -> str:
    match operation:
        case Attend():
            how = f"select({operation.key} == {operation.query or 'given'})" if operation.key else "all before"
            gate = f", unless {' or '.join(operation.unless)}" if operation.unless else ""
            return f"{operation.name} = average({how}, {operation.value}{gate})"
        case Lookup():
            return f"{operation.name} = table[{', '.join(operation.inputs)}]"
        case Pieces():
            number = " + ".join(f"{weight:g} * {name}" for name, weight in operation.inputs.items())
            return f"{operation.name} = piece({number})"
        case Channel():
            return f"{operation.name} = channel({operation.source})" + (" (dormant)" if operation.onto else "")
