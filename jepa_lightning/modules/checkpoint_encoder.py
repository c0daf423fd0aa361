# B batch, C channels, H W height and width, N tokens, D width
"""The encoder of a finished run of this package, as a network to use or to train further."""

import sys
from collections.abc import Callable, Mapping
from contextvars import Context
from pathlib import Path
from typing import Any

from lightning.pytorch.core.mixins import HyperparametersMixin  # type: ignore[attr-defined]
from torch import Tensor, nn
from typing_extensions import Self

from jepa_lightning.checkpoints import class_path, local_copy, maker, read_checkpoint
from jepa_lightning.modules.base import JEPAModule

FREEZES = ("freeze", "freeze_encoder")  # options of methods that leave their encoder as it is


class UnknownMethodError(ValueError):
    """A checkpoint is of a class that has not been imported.

    Attributes:
        path: of the class.
    """

    def __init__(self, path: str) -> None:
        module = path.rpartition(".")[0]
        super().__init__(
            f"the encoder is of the method {path}, which is none of this package and has not been imported: import "
            f"{module or path} first."
        )
        self.path = path


class CheckpointEncoder(HyperparametersMixin, nn.Module):
    """The ``eval_encoder`` of a method.

    It holds the options of that method, so that a checkpoint of a module that uses it loads without the file that it
    came from. It is to be trained, also where the method has frozen it.

    Args:
        method: path of the class of the method, which has to be imported already.
        options: of the method, plain data.

    Attributes:
        width: D.
        grid_size: tokens along each axis of the grid.
        patch: size of a patch along each axis; None where there is none.
        in_channels: C.
        mean: of each channel, on values of 0 to 1, that it has been trained with.
        std: of each channel.
        image_size: height and width that it is built for; None where the method does not say.
        sampler: chooses the frames of a clip; None for images.

    Raises:
        ValueError: if the class is no method, or has not been imported.
    """

    def __init__(self, method: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters({"method": method, "options": dict(options)})
        thawed = {name: False if name in FREEZES else value for name, value in options.items()}
        module: Any = _apart(_class_of(method), **thawed)
        self.network: Any = module.eval_encoder
        for online, target in module.ema_pairs():
            if target is self.network:  # targets have no gradients; position tables have none in either
                for parameter, trained in zip(target.parameters(), online.parameters(), strict=True):
                    parameter.requires_grad_(trained.requires_grad)
        self.width, self.grid_size = int(self.network.width), tuple(getattr(self.network, "grid_size", ()))
        self.patch: tuple[int, ...] | None = getattr(self.network, "patch", None)
        self.in_channels, self.mean, self.std = module.in_channels, module.mean, module.std
        self.image_size: tuple[int, int] | None = getattr(module, "image_size", None)
        self.sampler = getattr(module, "sampler", None)

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> Self:
        """The encoder of a checkpoint of this package, a file or a folder of shards, with its weights.

        Args:
            path: of the checkpoint.
            options: of the method, in the place of those in the checkpoint.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged, or of no method that is known here.
        """
        module = module_from_checkpoint(path, **options)
        found = cls(class_path(type(module)), method_options(module))
        found.network.load_state_dict(module.eval_encoder.state_dict())
        return found

    def forward(self, x: Tensor, **options: Any) -> Any:
        """Encodes images ``[B, C, H, W]`` to ``[B, N, D]``; an encoder of clips repeats each to fill a tubelet."""
        return self.network(x, **options)


def module_from_checkpoint(path: str | Path, **options: Any) -> JEPAModule:
    """The module of a checkpoint of whichever method.

    Args:
        path: a file or a folder of shards.
        options: in the place of those in the checkpoint.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or of no method that is known here.
    """
    with local_copy(path) as local:
        method = maker(read_checkpoint(local))
    if method is None:
        raise ValueError(f"{path} does not say which method it is of: save it again with this version.")
    module: JEPAModule = _apart(_class_of(method).load_from_checkpoint, path, map_location="cpu", **options)
    return module


def method_options(module: JEPAModule) -> dict[str, Any]:
    """The options of a module, to build another one with weights of its own."""
    # Lightning's command line leaves entries of its own, which begin with _
    options = {name: value for name, value in module.hparams.items() if not name.startswith("_")}
    # the weights of timm are no concern of those who bring others
    return {**options, "pretrained": False} if "pretrained" in options else options


def _apart(build: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Builds a module in a context of its own: Lightning's command line hands options on in the one around it.

    A module that is built while another one is would take the options of that one for its own.
    """
    return Context().run(build, *arguments, **options)


def _class_of(path: str) -> type[JEPAModule]:
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and issubclass(found, JEPAModule)):
        raise UnknownMethodError(path)
    return found
