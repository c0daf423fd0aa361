# A numbers of an action, S numbers of a state
"""What a module knows about the actions and the states of its data, and keeps in its checkpoints."""

from collections.abc import Sequence
from typing import Any

from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.modules.trajectories import Actions


class TrajectoryModule(EncoderModule):
    """Base of modules that take actions; a subclass sets ``actions``, and has the option ``frame_skip``.

    Attributes:
        actions: brings actions to mean 0 and deviation 1.
        state_mean: of each number of the data's states, such as positions; empty where they are not known.
        state_std: of each number of these.
    """

    actions: Actions
    state_mean: tuple[float, ...] = ()
    state_std: tuple[float, ...] = ()

    @property
    def frame_skip(self) -> int | None:
        """Steps of the environment from a frame to the next; None where neither options nor data have told."""
        skip: int | None = self.hparams["frame_skip"]
        return skip

    def take_actions(self, size: int, mean: Sequence[float], std: Sequence[float], frame_skip: int = 1) -> None:
        """Takes the statistics of actions from the data, where the module was given none; checkpoints hold them.

        Args:
            size: number of values in an action.
            mean: of each.
            std: of each.
            frame_skip: steps of the environment, and so actions of its own, that an action has.

        Raises:
            ValueError: if the size is another than ``action_size``.
        """
        if size != self.actions.size:
            raise ValueError(
                f"the data has actions of {size} numbers, and {type(self).__name__} has action_size="
                f"{self.actions.size}: set it to that of the data (--model.action_size {size})."
            )
        if self.hparams["frame_skip"] is None:
            self.hparams.update(frame_skip=frame_skip)
        if not self.actions.has_own_statistics:
            self.actions.take(mean, std)
            self.hparams.update(action_mean=list(mean), action_std=list(std))

    def take_states(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Takes the statistics of the data's states, such as positions; checkpoints hold them.

        No network of the module sees them: they are for whoever reads states from what it predicts.

        Args:
            mean: of each number of a state.
            std: of each.

        Raises:
            ValueError: if they are not of equally many numbers.
        """
        if len(mean) != len(std):
            raise ValueError(f"the states have {len(mean)} means and {len(std)} deviations: give one of each a number.")
        self.state_mean, self.state_std = tuple(mean), tuple(std)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves the statistics of states."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["states"] = {"mean": list(self.state_mean), "std": list(self.state_std)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores them."""
        super().on_load_checkpoint(checkpoint)
        found = checkpoint.get("states", {})  # checkpoints of before have none
        try:
            mean, std = (tuple(float(number) for number in found.get(name, ())) for name in ("mean", "std"))
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"the checkpoint's statistics of states are not numbers: {error}") from None
        self.take_states(mean, std)
