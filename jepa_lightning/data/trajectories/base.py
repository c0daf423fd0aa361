"""The shared base of all DataModules of trajectories: what they say about actions and states."""

from typing import Any

from jepa_lightning.data.base import JEPADataModule


class TrajectoriesDataModule(JEPADataModule):
    """Clips with the actions between their frames, and with states where these are known.

    A sample is a ``jepa_lightning.types.Sample`` of frames uint8 ``[T, C, H, W]`` and of the extras ``actions``
    ``[T - 1, A]`` and ``states`` ``[T, S]``; action t is taken at frame t and leads to frame t + 1. A module that takes
    actions has their statistics from here, unless it was given some.

    Attributes:
        action_size: A; None before ``setup``, where it is read from a file.
        action_mean: of each number of an action, over the training data.
        action_std: of each number of an action, 1 where it is constant.
        frame_skip: steps of the environment from a frame to the next, all of whose actions an action has.
        state_size: S, 0 where there are no states.
        state_mean: of each number of a state.
        state_std: of each number of a state, 1 where it is constant.
    """

    action_size: int | None = None
    action_mean: tuple[float, ...] = ()
    action_std: tuple[float, ...] = ()
    frame_skip: int = 1
    state_size: int = 0
    state_mean: tuple[float, ...] = ()
    state_std: tuple[float, ...] = ()

    @property
    def num_classes(self) -> int:
        """0: trajectories have no classes."""
        return 0

    def _agree(self, module: Any) -> None:
        super()._agree(module)
        if self.action_size is not None and hasattr(module, "take_actions"):
            module.take_actions(self.action_size, self.action_mean, self.action_std, self.frame_skip)
        if self.state_size and hasattr(module, "take_states"):
            module.take_states(self.state_mean, self.state_std)
