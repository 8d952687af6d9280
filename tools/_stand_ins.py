"""Which features can take an MLP's place in a model that is linear in what they read and write."""

from ._base import ToolError
from ._dictionary import NEURONS, FeatureLayer, Transcoder


def standing_in(features: FeatureLayer) -> FeatureLayer:
    """One layer's features, if they read and write what the layer's MLP does and each is encoded on its own.

    Raises:
        ToolError: they do not.
    """
    if isinstance(features, Transcoder):
        sites = features.reads_at, features.writes_at
        if sites != ("mlp_in", "mlp_out") or features.activation == "mp":
            raise ToolError(
                f"The features of layer {features.layer} are no stand-in for its MLP that is linear in what it reads.",
                mend=f"Use transcoders (mlp_in to mlp_out, encoded without matching pursuit), or `{NEURONS}`.",
            )
    return features
