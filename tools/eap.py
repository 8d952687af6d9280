"""Edge attribution patching: every link's effect, to first order, from two forward passes and one backward.

Syed, Rager, Conmy 2023, "Attribution Patching Outperforms Automated Circuit Discovery". A link's score is what its
node writes on the clean prompt less what it writes on the counterfactual, times the gradient of the logit difference
at the slot's own copy of the stream, in front of the norm, summed over tokens. Positive: the link holds the answer up
(the paper's sign is the other way round). Where attention is saturated the gradient is next to zero whatever the link
does: use `eap_ig` there.
"""

from ._base import Progress, silent, tool
from ._circuit_methods import Method
from ._circuit_results import ScoreArgs, ScoresResult, scores_of_links
from ._circuit_scores import Asking
from ._subject import Subject


class EapArgs(ScoreArgs):
    pass


@tool
def eap(subject: Subject, args: EapArgs, progress: Progress = silent) -> ScoresResult:
    """Estimate from one gradient what every link between parts holds up of the answer, and measure the strongest.

    Raises:
        ToolError: pairs of unequal lengths, an answer the tokenizer splits, or prompts without a gap between them.
    """
    asking = Asking.of(subject, args.families)
    return scores_of_links(asking, asking.links(Method(), progress=progress), args, progress)
