# B batch, C channels, H W height and width, N tokens, D width
"""The encoder of a finished run of this package, as a network that no longer changes."""

import sys
from collections.abc import Callable, Mapping
from contextvars import Context
from pathlib import Path
from typing import Any

from lightning.pytorch.core.mixins import HyperparametersMixin  # type: ignore[attr-defined]
from torch import Tensor, nn

from jepa_lightning.checkpoints import class_path, local_copy, maker, read_checkpoint
from jepa_lightning.modules.base import JEPAModule


class FrozenEncoder(HyperparametersMixin, nn.Module):
    """The ``eval_encoder`` of a method, without gradients and always in eval mode.

    It holds the options of that method, so that a checkpoint of a module that uses it loads without the file that it
    came from.

    Args:
        method: path of the class of the method, which has to be imported already.
        options: of the method, plain data.

    Attributes:
        width: D.
        grid_size: tokens along each axis of the grid.
        in_channels: C.
        mean: of each channel, on values of 0 to 1, that it has been trained with.
        std: of each channel.

    Raises:
        ValueError: if the class is no method, or has not been imported.
    """

    def __init__(self, method: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters({"method": method, "options": dict(options)})
        module: Any = _apart(_class_of(method), **options)
        self.network: Any = module.eval_encoder
        self.width, self.grid_size = int(self.network.width), tuple(getattr(self.network, "grid_size", ()))
        self.in_channels, self.mean, self.std = module.in_channels, module.mean, module.std
        self.requires_grad_(False).eval()

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> "FrozenEncoder":
        """The encoder of a checkpoint of this package, a file or a folder of shards, with its weights.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged, or of no method that is known here.
        """
        with local_copy(path) as local:
            method = maker(read_checkpoint(local))
        if method is None:
            raise ValueError(f"{path} does not say which method it is of: save it again with this version.")
        module: Any = _apart(_class_of(method).load_from_checkpoint, path, map_location="cpu")
        options = dict(module.hparams)
        if "pretrained" in options:
            options["pretrained"] = False  # the weights are those of the checkpoint
        frozen = cls(class_path(type(module)), options)
        frozen.network.load_state_dict(module.eval_encoder.state_dict())
        return frozen

    def forward(self, x: Tensor, **options: Any) -> Any:
        """Encodes images ``[B, C, H, W]`` to ``[B, N, D]``; an encoder of clips repeats each to fill a tubelet."""
        return self.network(x, **options)

    def train(self, mode: bool = True) -> "FrozenEncoder":
        """Leaves it in eval mode."""
        super().train(False)
        return self


def _apart(build: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Builds a module in a context of its own: Lightning's command line hands options on in the one around it.

    A module that is built while another one is would take the options of that one for its own.
    """
    return Context().run(build, *arguments, **options)


def _class_of(path: str) -> type[JEPAModule]:
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and issubclass(found, JEPAModule)):
        raise ValueError(
            f"the encoder is of the method {path}, which is none of this package and has not been imported: import "
            f"{module or path} first."
        )
    return found
