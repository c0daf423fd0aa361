"""The encoder of a finished run of this package, as a network that no longer changes."""

from collections.abc import Mapping
from typing import Any

from jepa_lightning.modules.checkpoint_encoder import CheckpointEncoder


class FrozenEncoder(CheckpointEncoder):
    """The ``eval_encoder`` of a method, without gradients and always in eval mode.

    Args:
        method: as in ``CheckpointEncoder``.
        options: as in ``CheckpointEncoder``.

    Raises:
        ValueError: as in ``CheckpointEncoder``.
    """

    def __init__(self, method: str, options: Mapping[str, Any]) -> None:
        super().__init__(method, options)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """Leaves it in eval mode."""
        super().train(False)
        return self
