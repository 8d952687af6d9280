"""What passes a frozen MLP beside its features: the norm in front of it, then the dictionary's linear skip."""

from jaxtyping import Float
from torch import Tensor

from ._attribution_local import FrozenBlock


def heard_through_skip(
    block: FrozenBlock, listens: Float[Tensor, "batch pos d_model"], first: int = 0
) -> Float[Tensor, "batch pos d_model"] | None:
    """What listens behind the MLP, as it listens in front of the MLP's norm, for positions from the first one on.

    Returns:
        None where the dictionary has no skip.
    """
    if block.skip is None:
        return None
    scale = block.norm2.scale[first : first + listens.shape[1], None]
    return block.norm2.pull(listens @ block.skip.T) / scale
