"""Contextual decomposition: how much of an answer comes from what a component has that other prompts lack.

CD-T: Hsu et al. 2024, "Efficient Automated Circuit Discovery in Transformers using Contextual Decomposition". Every
activation is split into a relevant and an irrelevant part. A source's deviation (from its value on the counterfactual,
from its mean over reference prompts, or from zero) is relevant, everything else is not, and the two parts are carried
to the logits by the rules in `_split_rules.py`; what of answer minus foil is relevant then is the source's relevance.
All sources run in one batch, and no gradient is taken, so nothing that saturates hides.

Of a component, relevance is the share of the component's own deviation that the source's part makes up, along that
deviation: parts that add up to the whole have shares that add up to 1. A circuit is found as in the paper: the sources
most relevant to the logits become targets, then those most relevant to what these read, and so on.

Deviations from the paper. Norms and attention are curves like any other unless they are held as the paper holds them,
which hides every link that decides where a head looks; live and with constants irrelevant, relevance is the effect of
exact patching.
Parts of opposite signs are absorbed on request only: that lowered agreement with patching. Relevance to a component is
signed and along its deviation, where the paper takes the size of the relevant part. Targets are what components read
(queries, keys, values, MLP inputs). A link can be a source, as one slot alone reads it. A norm's bias is shared by the
sizes of the parts behind the norm, not in front.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from ._base import Frozen, Progress, ToolArgs, ToolError, ToolResult, silent, tool
from ._circuit_graph import END, CircuitGraph, Link
from ._decomposition import ALL, Against, Common, Decomposition, Source
from ._pair_answers import Pair
from ._split_circuit import CircuitPart, circuit_by_iteration
from ._split_rules import Order, Rules
from ._subject import Subject


class ContextualDecompositionArgs(ToolArgs):
    pairs: tuple[Pair, ...] = Field(description="Prompts with their counterfactuals.", min_length=1)
    nodes: tuple[str, ...] = Field(
        (), description="Sources: embed, head.LAYER.HEAD, mlp_out.LAYER; every node where empty and no link is given."
    )
    links: tuple[str, ...] = Field(
        (), description="Sources that one slot alone reads: NODE->SLOT such as head.0.1->k.2.3; `all` for every link."
    )
    positions: tuple[str, ...] = Field(
        ("all",), description="Tokens of a source: all, each, last, entity, differs, or an integer.", min_length=1
    )
    joint: bool = Field(False, description="Make all sources relevant together instead of one at a time.")
    target: str = Field("logits", description="Where relevance is read: logits, a node, or a slot such as q.2.1.")
    target_position: str = Field("all", description="Tokens of a target that is not the logits.")
    against: Against = Field(
        "corrupted",
        description="What a source's value is counted from: its value on the counterfactual, its mean over the "
        "reference prompts, or zero.",
    )
    reference: tuple[Common, ...] = Field((), description="Prompts behind `mean`.")
    norms: Literal["live", "frozen"] = Field("live", description="Whether norms keep their denominators.")
    attention: Literal["live", "frozen"] = Field("live", description="Whether heads keep their patterns.")
    order: Order = Field(
        "difference", description="What of a curve is relevant: what is lost without it, or the mean over both orders."
    )
    constants: Literal["shared", "irrelevant"] = Field(
        "shared", description="Whether biases are shared by the sizes of both parts, or count as irrelevant."
    )
    absorb: bool = Field(False, description="Where the parts have opposite signs, the larger takes the smaller.")
    steps: int = Field(0, ge=0, le=20, description="Steps of the search for a circuit (count); 0 for none.")
    per_step: int = Field(5, ge=1, le=1000, description="Sources that one target gets at most (count).")
    smallest: float = Field(
        0.05, ge=0, allow_inf_nan=False, description="Share that a source of the circuit has at least."
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "ContextualDecompositionArgs":
        if (self.against == "mean") != bool(self.reference):
            raise ValueError("reference prompts belong to `mean`, which needs them")
        if self.steps and (self.joint or self.links or self.target != END):
            raise ValueError("a circuit is searched from the logits, over nodes one at a time")
        if self.joint and self.links:
            raise ValueError("links are sources one at a time")
        return self


class Relevance(Frozen):
    """One source over all pairs."""

    source: str = Field(description="Node or link; several joined by + where relevant together.")
    position: str = Field(description="Which tokens of it.")
    relevance: float = Field(description="Mean over pairs (nats of logit difference; of a component the share).")
    share: float = Field(description="The same over the gap; of a component the share of its deviation.")
    relevances: tuple[float, ...] = Field(description="Of each pair (nats; of a component the share).")


class ContextualDecompositionResult(ToolResult):
    target: str = Field(description="Where relevance was read.")
    relevances: tuple[Relevance, ...] = Field(description="Every source at every position, in the order asked.")
    circuit: tuple[CircuitPart, ...] = Field(description="What was found step by step; empty without steps.")
    clean: tuple[float, ...] = Field(description="Logit difference of each base prompt (nats).")
    corrupted: tuple[float, ...] = Field(description="The same logit difference on each counterfactual (nats).")
    gap: float = Field(description="Mean of clean minus corrupted (nats).")
    clean_correct: tuple[bool, ...] = Field(description="Whether each base prompt's most likely token is its answer.")
    split_error: float = Field(
        description="Largest difference, at any site, between both parts' sum and the model's own value (share of the "
        "site's largest value)."
    )
    nothing_relevance: float = Field(description="Control: largest relevance of nothing (nats): 0 is due.")
    everything_missed: float = Field(
        description="Control: largest difference between the relevance of the whole stream and the logit difference "
        "(nats): 0 is due where constants are shared, else it is what constants give."
    )
    n_splits: int = Field(description="Splits carried through the model (count).")
    n_pairs: int = Field(description="Pairs that ran (count).")


@tool
def contextual_decomposition(
    subject: Subject, args: ContextualDecompositionArgs, progress: Progress = silent
) -> ContextualDecompositionResult:
    """Split every activation into what comes from a component and what does not, and measure its part of the answer.

    Raises:
        ToolError: unknown node, link, target or position, prompts whose tokens do not match, an answer the tokenizer
            splits, pairs without an effect, or a model whose parts are not known.
    """
    graph = CircuitGraph(subject.shape)
    nodes, links, target = _nodes(subject, graph, args), _links(graph, args), _target(subject, graph, args.target)
    rules = Rules(
        live_norms=args.norms == "live",
        live_attention=args.attention == "live",
        order=args.order,
        share_constants=args.constants == "shared",
        absorb=args.absorb,
    )
    split = Decomposition(subject, args.pairs, rules, args.against, args.reference)
    positions = split.positions(args.positions)
    split.positions(([args.target_position] if target != END else []) + ([ALL] if args.steps else []))
    sources = [Source(node, position, slot) for position in positions for node, slot in [*nodes, *links]]
    groups = [tuple(sources)] if args.joint else [(source,) for source in sources]
    progress(0, 3, f"running the prompts: a gap of {split.gap:.3g} nats")
    nothing, everything = split.controls()
    progress(1, 3, f"splitting from {len(groups)} sources")
    logits, shares = split.relevances(groups, [] if target == END else [(target, args.target_position)])
    progress(2, 3, "searching a circuit" if args.steps else "measured")
    circuit = circuit_by_iteration(split, graph, sources, logits, args.steps, args.per_step, args.smallest)
    progress(3, 3, "measured")
    rows, over = (logits, split.gap) if target == END else (shares[0], 1.0)
    return ContextualDecompositionResult(
        target=target,
        relevances=tuple(_relevance(group, row.tolist(), over) for group, row in zip(groups, rows, strict=True)),
        circuit=circuit,
        clean=tuple(split.clean.tolist()),
        corrupted=tuple(split.corrupted.tolist()),
        gap=split.gap,
        clean_correct=tuple(split.clean_correct.tolist()),
        split_error=split.error,
        nothing_relevance=nothing,
        everything_missed=everything,
        n_splits=split.n_rows,
        n_pairs=len(args.pairs),
    )


def _relevance(group: Sequence[Source], values: list[float], over: float) -> Relevance:
    mean = sum(values) / len(values)
    return Relevance(
        source="+".join(dict.fromkeys(source.name for source in group)),
        position="+".join(dict.fromkeys(source.position for source in group)),
        relevance=mean,
        share=mean / over,
        relevances=tuple(values),
    )


def _nodes(subject: Subject, graph: CircuitGraph, args: ContextualDecompositionArgs) -> list[Link]:
    """Nodes as links into whatever reads them."""
    if not args.nodes:
        return [] if args.links else [(node, "") for node in graph.nodes]
    found = [str(subject.site(name)) for name in args.nodes]
    for name, node in zip(args.nodes, found, strict=True):
        if node not in graph.nodes:
            raise ToolError(
                f"`{name}` is no node: something that writes to the stream.",
                mend="Nodes: embed, head.LAYER.HEAD, mlp_out.LAYER.",
            )
    return [(node, "") for node in dict.fromkeys(found)]


def _links(graph: CircuitGraph, args: ContextualDecompositionArgs) -> list[Link]:
    if args.links == (ALL,):
        return list(graph.links)
    return list(dict.fromkeys(graph.link(text) for text in args.links))


def _target(subject: Subject, graph: CircuitGraph, name: str) -> str:
    if name == END:
        return END
    place = str(subject.site(name))
    if place not in (*graph.nodes[1:], *graph.slots):
        raise ToolError(
            f"`{name}` is no target.",
            mend="Targets: logits, a node behind the first (head.LAYER.HEAD, mlp_out.LAYER), or a slot (q, k, "
            "v.LAYER.HEAD, mlp_in.LAYER).",
        )
    return place
