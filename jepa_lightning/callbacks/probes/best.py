"""The best values of a probe so far, and a warning when the present ones stay below them."""

from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_warn

from jepa_lightning.probing.scores import Figure

DROP = 0.05  # below the best so far, in accuracy
LASTING = 2  # validations in a row


class BestValues:
    """The best value of each name, and for how long the watched one has been clearly below its best.

    Attributes:
        values: the highest of each name, or the lowest error.
    """

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self._low = 0

    def add(self, name: str, figure: Figure) -> None:
        """Keeps a value if it is the best of its name."""
        better = max if figure.higher_is_better else min
        self.values[name] = better(self.values.get(name, figure.value), figure.value)

    def watch(self, name: str, value: float) -> None:
        """Warns when this value has been below its best for a few validations."""
        self._low = self._low + 1 if value < self.values[name] - DROP else 0
        if self._low == LASTING:
            rank_zero_warn(
                f"{name} is at {value:.3f} and was more than {100 * DROP:.0f} points below its best of "
                f"{self.values[name]:.3f} in the last {LASTING} validations: the features get worse, whatever the loss "
                "does. Lower the learning rate or add a regularizer, and keep the best weights with "
                f"ModelCheckpoint(monitor='{name}', mode='max')."
            )

    def state_dict(self) -> dict[str, Any]:
        """The best values, and for how long the watched one has been low."""
        return {"best": dict(self.values), "low": self._low}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores them."""
        self.values, self._low = dict(state["best"]), state["low"]
