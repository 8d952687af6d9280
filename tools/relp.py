"""Relevance patching: attribution patching whose gradients follow the rules of layer-wise relevance propagation.

Rezaei Jafari, Eberle, Khakzar, Nanda 2025, "RelP: Faithful and Efficient Circuit Discovery via Relevance Patching".
Rules are those of the paper's table: LN-rule for norms (the denominator is a constant; here also for norms of queries
and keys), Identity-rule for activations (f(x) / x is a constant), Half-rule for gated MLPs, 0-rule for linear maps
(their gradient). For attention the table names the AH-rule (the pattern is a constant), and the published examples
leave it out; so does `attention="gradient"`, the default, since under the AH-rule no link into a query or key has any
score. Half-rule and Identity-rule act together in a gated MLP, as in the published code.
"""

from typing import Literal

from pydantic import Field

from ._base import Progress, silent, tool
from ._circuit_methods import Method
from ._circuit_results import ScoreArgs, ScoresResult, scores_of_links, scores_of_nodes
from ._circuit_rules import Rules
from ._circuit_scores import Asking
from ._subject import Subject


class RelpArgs(ScoreArgs):
    units: Literal["links", "nodes"] = Field("links", description="What is scored.")
    attention: Literal["gradient", "held"] = Field(
        "gradient", description="Attention patterns by their gradient, or held constant (AH-rule)."
    )


@tool
def relp(subject: Subject, args: RelpArgs, progress: Progress = silent) -> ScoresResult:
    """Estimate by relevance propagation what every link, or node, holds up of the answer, and measure the strongest.

    Raises:
        ToolError: pairs of unequal lengths, an answer the tokenizer splits, prompts without a gap between them, or an
            MLP that no rule is known for.
    """
    asking = Asking.of(subject, args.families)
    rules = Rules(norms=True, mlps=True, patterns=args.attention == "held")
    if args.units == "nodes":
        return scores_of_nodes(asking, asking.nodes(rules, progress), args, progress)
    return scores_of_links(asking, asking.links(Method(rules=rules), progress=progress), args, progress)
