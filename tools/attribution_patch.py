"""Attribution patching: what patching each node would do, to first order, from two forward passes and one backward.

Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale"; Kramár, Lieberum, Shah, Nanda 2024, "AtP*"
(nodes). A node's score is what it writes on the clean prompt less what it writes on the counterfactual, times the
gradient of the logit difference at the stream that it writes to, summed over tokens. It equals the sum of the
`eap` scores of the node's links. First order means: where attention is saturated or a norm shrinks what is large,
the score is wrong, which `check` shows by really cutting the strongest nodes. Deviation: AtP*'s two corrections
(queries and keys recomputed, gradients dropped layer by layer) are not made; `eap_ig` does what they are for.
"""

from ._base import Progress, silent, tool
from ._circuit_results import ScoreArgs, ScoresResult, scores_of_nodes
from ._circuit_scores import Asking
from ._subject import Subject


class AttributionPatchArgs(ScoreArgs):
    pass


@tool
def attribution_patch(subject: Subject, args: AttributionPatchArgs, progress: Progress = silent) -> ScoresResult:
    """Estimate from gradients what every head and MLP holds up of the answer, and measure the strongest.

    Raises:
        ToolError: pairs of unequal lengths, an answer the tokenizer splits, or prompts without a gap between them.
    """
    asking = Asking.of(subject, args.families)
    return scores_of_nodes(asking, asking.nodes(progress=progress), args, progress)
