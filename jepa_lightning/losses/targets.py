# D width
from torch import Tensor
from torch.nn import functional as F


def normalize_targets(features: Tensor) -> Tensor:
    """Layer-normalizes targets over their width, without scale and shift, eps 1e-5, in float32.

    Done to the target encoder's output in I-JEPA and V-JEPA: the scale of the targets is then no way to a low loss.

    Args:
        features: ``[..., D]`` representations of the target encoder.

    Returns:
        float32 ``[..., D]``, each vector with mean 0 and variance 1.
    """
    return F.layer_norm(features.float(), features.shape[-1:], eps=1e-5)
