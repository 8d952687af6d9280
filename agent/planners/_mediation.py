"""Where an answer is carried: the experiments that look for it, and the predictions that test what they saw.

Works on any pool of prompt pairs. Exploration patches every stream site, component and head on discovery pairs; from
what it sees, a handful of predictions is made about held-out pairs, each at one place. Where task data name a variable
between entity and answer, the variable's class means are exchanged as well: the test that tells "the model works out
the state" from "the model carries the city along".
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ...tools import Measurement
from .._evidence import SMALLEST_EFFECT, Arm, Hypothesis, Prediction
from ._pairs import Pool
from .interface import Experiment, Proposal, SubjectCard, View

CARRIES = 0.5  # share of the gap, and of answers, from which a site is said to carry the answer
WORTH_A_TEST = 0.15  # share of the gap from which a single component is worth a prediction
GONE = SMALLEST_EFFECT  # share of the gap below which a class mean does nothing

ArmParts = tuple[str, Sequence[Any], Sequence[Any]]  # family, pairs, reference prompts


def stream_sites(card: SubjectCard) -> tuple[str, ...]:
    """The residual stream from the embedding to the end, in order."""
    return ("resid_pre.0", *(f"resid_post.{layer}" for layer in range(card.n_layers)))


def explorations(pool: Pool, card: SubjectCard) -> Iterator[Experiment]:
    """Patch everything once on discovery pairs."""
    places = places_patched(pool)
    components = [f"{kind}.{layer}" for layer in range(card.n_layers) for kind in ("attn_out", "mlp_out")]
    heads = [f"head.{layer}.{head}" for layer in range(card.n_layers) for head in range(card.n_heads)]
    stream = list(stream_sites(card))
    yield _sweep("stream", pool.discovery.swap, stream, places, "where in the residual stream the answer is carried")
    yield _sweep(
        "components", pool.discovery.swap, components, places, "which attention and MLP blocks move the answer"
    )
    yield _sweep("heads", pool.discovery.swap, heads, ["last"], "which heads bring the answer to the last token")
    if pool.reference:
        why = f"where the {pool.mediator} stands, whatever the {pool.entity}"
        yield _sweep("variable", pool.discovery.swap, stream, ["entity"], why, reference=pool.reference)
    if pool.reference_one_hop:
        why = f"whether prompts that ask only the {pool.mediator} hold it in the same form"
        yield _sweep("variable one-hop", pool.discovery.swap, stream, ["entity"], why, reference=pool.reference_one_hop)


def places_patched(pool: Pool) -> list[str]:
    """Where parts are patched: at the tokens that are swapped, where they can be aligned, and at the last."""
    return [position for position in (pool.entity_position, "last") if position]


def _sweep(
    key: str, pairs: Sequence[Any], sites: list[str], places: list[str], why: str, reference: Sequence[Any] = ()
) -> Experiment:
    args: dict[str, Any] = {"pairs": list(pairs), "sites": sites, "positions": places}
    if reference:
        args |= {"value": "class_mean", "reference": list(reference)}
    return Experiment(key=key, tool="patch", args=args, why=why)


class Cells:
    """A sweep's cells by place."""

    def __init__(self, sweep: Measurement | None) -> None:
        cells = sweep.result["cells"] if sweep else []
        self._by_place = {(cell["site"], cell["position"]): cell for cell in cells}

    def at(self, position: str, sites: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
        found = [(site, self._by_place.get((site, position))) for site in sites]
        return [(site, cell) for site, cell in found if cell is not None]

    def best(self, position: str, kinds: tuple[str, ...]) -> tuple[str, dict[str, Any]] | None:
        here = [(s, c) for (s, p), c in self._by_place.items() if p == position and s.split(".")[0] in kinds]
        return max(here, key=lambda entry: entry[1]["effect"], default=None)


def proposals(pool: Pool, view: View) -> tuple[Proposal, ...]:
    """Predictions about held-out pairs, from what the sweeps showed on discovery pairs."""
    return numbered([*_variable(pool, view), *_carriers(pool, view), *_components(pool, view)])


def numbered(drafts: Sequence["Draft"], first: int = 1) -> tuple[Proposal, ...]:
    """Drafts as proposals, numbered on from `first`."""
    return tuple(draft.numbered(number) for number, draft in enumerate(drafts, start=first))


def prediction_about(pool: Pool, claim: str, site: str, position: str, without: Sequence[str] = ()) -> "Draft":
    """A prediction of a known form about a place of the caller's choice.

    Args:
        claim: `carries`, `part_of_path`, `holds_variable` or `lacks_variable`; the last two where task data name a
            variable.
        without: parts that are taken out, where the claim is `part_of_path`.
    """
    if without:
        return with_taken_out(pool, site, position, without)
    if claim == "holds_variable":
        return _presence(pool, site)
    if claim == "lacks_variable":
        return _absence(pool, site, "does not hold", _class_means(pool))
    return _patched(pool, site, position, CARRIED if claim == "carries" else PART)


class Draft:
    """A prediction before it has a number."""

    def __init__(
        self,
        pool: Pool,
        kind: str,
        site: str,
        position: str,
        statement: str,
        refuted_if: str,
        arms: Sequence[ArmParts],
        alternatives: Sequence[str],
        direction: str = "positive",
        without: Sequence[str] = (),
    ) -> None:
        self.pool, self.kind, self.site, self.position = pool, kind, site, position
        self.statement, self.refuted_if, self.alternatives = statement, refuted_if, tuple(alternatives)
        self.arms, self.direction, self.without = [arm for arm in arms if arm[1]], direction, tuple(without)

    def numbered(self, number: int) -> Proposal:
        """The proposal under its number in this investigation."""
        hypothesis = Hypothesis(
            id=f"h{number}",
            statement=self.statement,
            kind=self.kind,  # pyright: ignore[reportArgumentType]
            alternatives=self.alternatives,
            refuted_if=self.refuted_if,
        )
        prediction = Prediction(
            id=f"p{number}",
            hypothesis=hypothesis.id,
            kind=self.kind,  # pyright: ignore[reportArgumentType]
            direction=self.direction,  # pyright: ignore[reportArgumentType]
            arms=tuple(self._arm(*arm) for arm in self.arms),
            chance=1 / max(2, self.pool.classes) if self.pool.classes else 0.5,
            holds_out_entities=self.pool.holds_out_entities,
            holds_out_template=self.pool.holds_out_template,
        )
        return Proposal(hypothesis=hypothesis, prediction=prediction)

    def _arm(self, family: str, pairs: Sequence[Any], reference: Sequence[Any]) -> Arm:
        args: dict[str, Any] = {"pairs": list(pairs), "sites": [self.site], "positions": [self.position]}
        if reference:
            args |= {"value": "class_mean", "reference": list(reference)}
        if self.without:
            args["without"] = list(self.without)
        return Arm(label=family, counterfactual_family=family, tool="patch", args=args)


def _variable(pool: Pool, view: View) -> Iterator[Draft]:
    """The mediator stands at the entity's token from one site to another, and neither before nor after."""
    # After the last block nothing reads the entity's token any more: that it does nothing there says nothing.
    sites = stream_sites(view.card)[:-1]
    cells = Cells(view.results.get("variable")).at("entity", sites)
    holding = [i for i, (_, cell) in enumerate(cells) if moves(cell)]
    if not holding:
        return
    arms = _class_means(pool)
    for i in dict.fromkeys((holding[0], holding[-1])):
        yield _presence(pool, cells[i][0])
    one_hop_works = any(moves(cell) for _, cell in Cells(view.results.get("variable one-hop")).at("entity", sites))
    for i in (holding[0] - 1, holding[-1] + 1):
        if 0 <= i < len(cells) and abs(cells[i][1]["effect"]) <= GONE:
            when = "does not yet hold" if i < holding[0] else "no longer passes on"
            yield _absence(pool, cells[i][0], when, arms if one_hop_works else arms[:1])


def _presence(pool: Pool, site: str) -> Draft:
    return Draft(
        pool,
        "variable",
        site,
        "entity",
        f"At {pool.place}, `{site}` holds the {pool.mediator}: exchanging what the "
        f"{pool.entity} tokens of a {pool.mediator} have in common moves the answer to the other "
        f"{pool.mediator}'s {pool.answer}.",
        "the exchange moves no more than the region of no interest, or shuffled labels do as well",
        _class_means(pool),
        (
            f"the {pool.answer} is read straight off the {pool.entity}, with no {pool.mediator} in between",
            f"the site carries the {pool.entity} itself, not its {pool.mediator}",
        ),
    )


def _class_means(pool: Pool) -> list[ArmParts]:
    """The exchange of class means, by each kind of prompts that there is to take them from."""
    kinds = (
        ("class means of the same question", pool.reference),
        (f"class means of prompts that ask the {pool.mediator}", pool.reference_one_hop),
    )
    return [(family, pool.confirmation.swap, reference) for family, reference in kinds if reference]


def _absence(pool: Pool, site: str, when: str, arms: Sequence[ArmParts]) -> Draft:
    return Draft(
        pool,
        "absence",
        site,
        "entity",
        f"At {pool.place}, `{site}` {when} the {pool.mediator}: the same exchange does nothing there.",
        "the exchange moves the answer by more than the region of no interest",
        arms,
        (f"the {pool.mediator} is there in a form that class means do not show",),
        direction="none",
    )


def _carriers(pool: Pool, view: View) -> Iterator[Draft]:
    """Until where the entity's token carries the answer, and from where the last token does."""
    sites, cells = stream_sites(view.card), Cells(view.results.get("stream"))
    if pool.swaps_last_token:
        return  # one token holds entity and answer: the whole stream carries it from the first site to the last
    # The first and the last site are left out: there the patch is the other prompt, or the answer, by construction.
    here = cells.at(pool.entity_position, sites[1:-1]) if pool.entity_position else []
    carrying = [site for site, cell in here if _carries(cell)]
    if carrying and pool.entity_position:
        yield _patched(pool, carrying[-1], pool.entity_position, CARRIED)
    arrived = [site for site, cell in cells.at("last", sites[1:-1]) if _carries(cell)]
    if arrived:
        yield _patched(pool, arrived[0], "last", CARRIED)


def moves(cell: dict[str, Any]) -> bool:
    """Whether a place was seen to turn most answers."""
    return cell["moved"] >= CARRIES


def _carries(cell: dict[str, Any]) -> bool:
    return moves(cell) and cell["effect"] >= CARRIES


def _components(pool: Pool, view: View) -> Iterator[Draft]:
    """The block at the entity's token and the block and head at the last token that move the answer most."""
    blocks, heads = Cells(view.results.get("components")), Cells(view.results.get("heads"))
    wanted = [(blocks, "last", ("attn_out",)), (heads, "last", ("head",))]
    if pool.entity_position:
        wanted.insert(0, (blocks, pool.entity_position, ("mlp_out",)))
    for cells, position, kinds in wanted:
        best = cells.best(position, kinds)
        if best is not None and best[1]["effect"] >= WORTH_A_TEST:
            yield _patched(pool, best[0], position, PART)


CARRIED = (
    "At {place}, `{site}` carries what decides the {answer}: taking its value from another prompt moves the answer to "
    "that prompt's.",
    "the answer is carried at another token by then",
)
PART = (
    "`{site}` at {place} is part of the path: taking its output from another prompt moves the answer towards that "
    "prompt's.",
    "another component carries it and this one only goes along",
)


TAKES_OVER = (
    "With {out} taken out, `{site}` at {place} is part of the path: taking its output from another prompt moves the "
    "answer towards that prompt's.",
    "another component carries it then and this one only goes along",
)


def with_taken_out(pool: Pool, site: str, position: str, out: Sequence[str]) -> "Draft":
    """A prediction about a part where other parts write nothing."""
    named = ", ".join(f"`{node}`" for node in out)
    return _patched(pool, site, position, (TAKES_OVER[0].replace("{out}", named), TAKES_OVER[1]), out)


def _patched(pool: Pool, site: str, position: str, wording: tuple[str, str], without: Sequence[str] = ()) -> Draft:
    """A prediction about one place, by two kinds of counterfactual."""
    split = pool.confirmation
    at_entity = position == pool.entity_position
    place = pool.place if at_entity else "the last token"
    second = (f"values from {pool.other_name}", split.other)
    if at_entity and split.one_hop:
        second = (f"values from prompts that ask the {pool.mediator}", split.one_hop)
    return Draft(
        pool,
        "mediation",
        site,
        position,
        wording[0].format(place=place, site=site, answer=pool.answer),
        "the patch moves no more than the region of no interest",
        [("values from the swapped prompt", split.swap, ()), (*second, ())],
        (wording[1],),
        without=without,
    )
