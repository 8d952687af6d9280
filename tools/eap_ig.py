"""Edge attribution patching with integrated gradients: gradients taken on the way to the counterfactual, and averaged.

Hanna, Pezzelle, Belinkov 2024, "Have Faith in Faithfulness". `inputs`: on the straight way between the two prompts'
embeddings. `activations`: part by part, on the way between the two values of what a layer's heads, or an MLP, write,
everything else as on the clean prompt. A link's score is its node's change times the mean gradient at the slot.

Deviations: points are the middles of steps (the paper takes their ends), and with `inputs` steps are tripled up to
`most_steps` until the links of `embed` add up to the gap within 2 %, which with ever more points they do exactly.
"""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Progress, silent, tool
from ._circuit_methods import Method
from ._circuit_results import ScoreArgs, ScoresResult, scores_of_links
from ._circuit_scores import Asking
from ._subject import Subject


class EapIgArgs(ScoreArgs):
    along: Literal["inputs", "activations"] = Field("inputs", description="What is moved to the counterfactual.")
    steps: int = Field(5, ge=1, le=1000, description="Points on the way (count).")
    most_steps: int = Field(
        45, ge=1, le=10_000, description="With `inputs`, points are tripled up to this many until complete (count)."
    )

    @model_validator(mode="after")
    def _steps_in_order(self) -> "EapIgArgs":
        if self.along == "inputs" and self.most_steps < self.steps:
            raise ValueError(f"`most_steps` is {self.most_steps}, fewer than `steps`, {self.steps}")
        return self


@tool
def eap_ig(subject: Subject, args: EapIgArgs, progress: Progress = silent) -> ScoresResult:
    """Estimate from gradients on the way to the counterfactual what every link holds up, and measure the strongest.

    Raises:
        ToolError: pairs of unequal lengths, an answer the tokenizer splits, or prompts without a gap between them.
    """
    asking = Asking.of(subject, args.families)
    scores = asking.links(Method(args.along, args.steps), args.most_steps, progress)
    return scores_of_links(asking, scores, args, progress)
