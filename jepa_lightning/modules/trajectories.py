# B batch, T frames, A numbers of an action, C channels, H W height and width
"""What a world model takes of trajectories: their actions, and clips that are long enough."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jepa_lightning.data.videos.action_clips import check_action_size
from jepa_lightning.types import Batch


class Actions(nn.Module):
    """Actions in the units of their environment to standardized ones, which networks take.

    Args:
        size: A.
        mean: of each number of an action; None is 0 until statistics are taken from data.
        std: of each number; None is 1 until then.

    Raises:
        ValueError: if the statistics are not of A numbers.
    """

    def __init__(self, size: int, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        super().__init__()
        self.size, self.has_own_statistics = size, mean is not None or std is not None
        for name, given in (("action_mean", mean), ("action_std", std)):
            if given is not None and len(given) != size:
                raise ValueError(f"{name} has {len(given)} numbers, and action_size is {size}: give one for each.")
        # the options of the module hold them, so they are not saved
        self.register_buffer("mean", torch.zeros(size) if mean is None else torch.tensor(mean).float(), False)
        self.register_buffer("std", torch.ones(size) if std is None else torch.tensor(std).float(), False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, actions: Tensor) -> Tensor:
        """``[..., A]`` to ``[..., A]`` with zero mean and unit variance over the data.

        Raises:
            ValueError: if they are of another size.
        """
        check_action_size(actions, self.size)
        return (actions - self.mean) / self.std

    def take(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Takes the statistics of data.

        Raises:
            ValueError: if they are of another size.
        """
        for name, target, values in (("mean", self.mean, mean), ("std", self.std, std)):
            if len(values) != self.size:
                raise ValueError(f"the actions' {name} has {len(values)} numbers, and action_size is {self.size}.")
            target.copy_(torch.tensor(values))


def actions_of(batch: Batch, name: str) -> Tensor:
    """The actions ``[B, T - 1, A]`` of a batch of clips ``[B, C, T, H, W]``.

    Args:
        batch: what the pipeline gave.
        name: of the class that asks, for messages.

    Raises:
        ValueError: if it holds images, no actions, or actions of another number.
    """
    view = batch.views[0]
    if view.ndim != 5:
        raise ValueError(
            f"{name} takes clips [B, C, T, H, W], got a view of shape {list(view.shape)}: use a DataModule of "
            "trajectories, such as TwoRoomsDataModule."
        )
    actions = batch.extras.get("actions")
    if actions is None:
        raise ValueError(
            f"{name} needs the actions of its clips, and the batch has no extras['actions']: use a DataModule of "
            "trajectories, such as TwoRoomsDataModule, or give the data set's samples as "
            "jepa_lightning.types.Sample(clip, extras={'actions': actions})."
        )
    if actions.ndim != 3 or actions.shape[:2] != (len(view), view.shape[2] - 1):
        raise ValueError(
            f"actions of shape {list(actions.shape)} do not fit clips of {view.shape[2]} frames, {list(view.shape)}: "
            "give [B, T - 1, A], one action from each frame to the next."
        )
    return actions


def check_frames(frames: int, steps: int | None) -> None:
    """Refuses clips that are too short for what is predicted of them.

    Args:
        frames: T.
        steps: of a rollout from the first frame; None is one step from each frame.

    Raises:
        ValueError: if there are fewer frames than these need.
    """
    if frames < (steps or 1) + 1:
        need = "a prediction needs 2" if steps is None else f"rollout_steps={steps} needs {steps + 1}"
        raise ValueError(f"clips have {frames} frames, and {need}: set num_frames, of the model and of the data.")
