"""Callbacks with names, so that two of a type can run side by side."""

import re

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer


class NamedCallback(Callback):
    """Base of the callbacks whose name stands in their metrics and in the key of their state.

    Attributes:
        name: of the metrics; the class has the usual one.
    """

    name: str

    def rename(self, name: str | None) -> None:
        """Takes another name than the usual one, or keeps it (None).

        Raises:
            ValueError: if the name is not made of letters, digits, ``_`` and ``-``.
        """
        if name is None:
            return
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(
                f"{type(self).__name__}(name={name!r}): use letters, digits, _ and - alone, as it names metrics."
            )
        self.name = name

    @property
    def is_renamed(self) -> bool:
        """Whether the name is not the usual one."""
        return self.name != getattr(type(self), "name", None)

    @property
    def state_key(self) -> str:
        """The class, and the name where it is not the usual one."""
        return f"{type(self).__qualname__}_{self.name}" if self.is_renamed else super().state_key

    def require_own_name(self, trainer: Trainer, kind: type["NamedCallback"]) -> None:
        """Refuses another callback of a kind with the same name, whose metrics would be the same.

        Raises:
            MisconfigurationException: if there is one.
        """
        others = [each for each in trainer.callbacks if isinstance(each, kind)]  # type: ignore[attr-defined]
        if other := next((each for each in others if each is not self and each.name == self.name), None):
            raise MisconfigurationException(
                f"{type(self).__name__} and {type(other).__name__} both log as '{self.name}': give one another name=."
            )
