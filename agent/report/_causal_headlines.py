"""Which sentence tells what a causal instrument found."""

from collections.abc import Callable

from ...tools import Measurement
from ._patching_words import patch_sweep_headline, path_patch_headline, subspace_patch_headline
from ._scoring_words import SCORERS, contextual_headline, observable_headline, scores_headline
from ._sentence import Sentence
from ._task_words import ablate_neurons_headline, steering_card_headline

CAUSAL_HEADLINES: dict[str, Callable[[Measurement], Sentence]] = {
    **dict.fromkeys(SCORERS, scores_headline),
    "ablate_neurons": ablate_neurons_headline,
    "contextual_decomposition": contextual_headline,
    "observable": observable_headline,
    "patch_sweep": patch_sweep_headline,
    "path_patch": path_patch_headline,
    "steering_card": steering_card_headline,
    "subspace_patch": subspace_patch_headline,
}
