# B batch, T frames, D width
"""Representations that change slowly: the distance of consecutive ones.

Source: PLDM, arXiv 2502.14819; with the weight of EB-JEPA, arXiv 2602.03604.
"""

from torch import Tensor

from jepa_lightning.losses.samples import check_samples


def time_similarity_loss(states: Tensor) -> Tensor:
    """Squared difference of the states of consecutive frames, averaged over samples, frames and D.

    Alone it is met by states that never change: it goes with a term that keeps them apart.

    Args:
        states: ``[B, T, D]``.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if there is a single frame, or another shape.
    """
    check_samples("time_similarity_loss", states, "BTD", least=1)
    check_frames("time_similarity_loss", states)
    states = states.float()
    return (states[:, 1:] - states[:, :-1]).square().mean()


def check_frames(name: str, states: Tensor) -> None:
    """Refuses states of a single frame.

    Args:
        name: of the loss, for the message.
        states: ``[B, T, D]``.

    Raises:
        ValueError: if there are fewer than 2 frames.
    """
    if states.shape[1] < 2:
        raise ValueError(f"{name} compares consecutive frames and needs at least 2, got {states.shape[1]}.")
