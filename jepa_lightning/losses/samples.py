# B batch, N tokens, D width
from torch import Tensor

from jepa_lightning.distributed import world_size


def check_samples(name: str, samples: Tensor, axes: str = "BD", least: int = 2, gather: bool = False) -> None:
    """Checks that a tensor has the named axes and enough samples for a statistic over the batch.

    Args:
        name: of the statistic, for the message.
        samples: batch first.
        axes: a letter for each axis.
        least: samples needed.
        gather: those of all ranks count.

    Raises:
        ValueError: if the tensor has other axes, or too few samples.
    """
    if samples.ndim != len(axes):
        raise ValueError(f"{name} takes [{', '.join(axes)}], got a tensor of shape {tuple(samples.shape)}.")
    if len(samples) * (world_size() if gather else 1) < least:
        raise ValueError(
            f"{name} is a statistic over the batch and needs at least {least} samples, got {len(samples)}: "
            "use a larger batch, or drop_last=True so that the last one is not cut short."
        )
