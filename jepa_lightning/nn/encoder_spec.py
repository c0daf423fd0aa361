# B batch, N tokens, K kept tokens, D width
"""Encoders of the user's own: what is saved of them, and how they are built again."""

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

from torch import nn

if TYPE_CHECKING:
    Encoder = str | dict[str, Any] | nn.Module
else:  # the help of the command line would list all 1,400 subclasses of nn.Module
    Encoder = str | dict[str, Any] | Any
PLAIN = (bool, int, float, str, type(None))


def encoder_spec(encoder: Encoder) -> str | dict[str, Any]:
    """What a checkpoint holds of an encoder: its name, or its class and the arguments that built it.

    Arguments are those in ``hparams`` of the network, as Lightning's ``HyperparametersMixin`` collects them; they are
    None where there are none, where they are not plain data (numbers, text, None, and lists and dicts of these), or
    where the class is defined inside another class or a function.

    Args:
        encoder: a name, a network, or a dict of ``class_path`` and ``init_args``.

    Returns:
        The name, or a dict of ``class_path`` and ``init_args``.

    Raises:
        ValueError: if a dict has other keys than these two, or if the encoder is none of the three.
    """
    if isinstance(encoder, str):
        return encoder
    if isinstance(encoder, Mapping):
        if "class_path" not in encoder or set(encoder) - {"class_path", "init_args"}:
            raise ValueError(
                f"an encoder given as a dict has the keys class_path and init_args, and this one has "
                f"{', '.join(map(str, encoder)) or 'none'}."
            )
        return {"class_path": encoder["class_path"], "init_args": encoder.get("init_args", {})}
    if not isinstance(encoder, nn.Module):
        what = f"the class {encoder.__name__}" if isinstance(encoder, type) else f"of type {type(encoder).__name__}"
        raise ValueError(
            f"encoder is {what}: give a name, a network (an instance of nn.Module), or the dict of its class."
        )
    arguments, cls = getattr(encoder, "hparams", None), type(encoder)
    at_top = "." not in cls.__qualname__
    known = at_top and isinstance(arguments, Mapping) and _is_plain(arguments)
    return {
        "class_path": f"{cls.__module__}.{cls.__qualname__}",
        "init_args": dict(cast(Mapping[str, Any], arguments)) if known else None,
    }


def create_encoder(spec: Mapping[str, Any]) -> nn.Module:
    """The network of a class and its arguments.

    Args:
        spec: ``class_path`` and ``init_args``, as of ``encoder_spec``. The class is imported; one that a checkpoint
            names has been imported before, or reading the checkpoint has refused it.

    Raises:
        ValueError: if the class cannot be imported, is no ``nn.Module``, or its arguments are not known.
    """
    path, arguments = str(spec["class_path"]), spec.get("init_args", {})
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(import_module(module), name) if module else None
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the encoder's class {path} cannot be imported ({error}): pass encoder=, a network built as it was."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(f"the encoder's class_path {path} is not the path of an nn.Module.")
    if arguments is None:
        raise ValueError(
            f"the arguments of the encoder {path} were not saved: pass encoder=, a network built as it was. They are "
            "saved if its class also inherits from lightning.pytorch.core.mixins.HyperparametersMixin and calls "
            "self.save_hyperparameters(), and all of them are plain data."
        )
    return cls(**arguments)


def check_encoder(encoder: nn.Module, masked: bool) -> None:
    """Refuses a network that cannot be an encoder.

    Args:
        encoder: maps ``[B, ...]`` to tokens ``[B, N, D]``, or those of int64 ``[B, K]`` with ``keep``.
        masked: whether the method has it encode a part of the tokens.

    Raises:
        ValueError: if it lacks ``width`` or, for masks, ``grid_size`` or the argument ``keep``.
    """
    name = type(encoder).__name__
    wanted = ("width", "grid_size") if masked else ("width",)
    if lacking := [attribute for attribute in wanted if not hasattr(encoder, attribute)]:
        raise ValueError(
            f"the encoder {name} has no {' and no '.join(lacking)}: an encoder says the width of its tokens"
            f"{' and grid_size, the number of tokens along each axis' if masked else ''}."
        )
    arguments = signature(encoder.forward).parameters
    if masked and "keep" not in arguments:
        raise ValueError(
            f"{name}.forward has no argument keep: a masked encoder is called as encoder(x, keep=indices), with the "
            "indices [B, K] of the tokens to encode or None for all, and gives [B, K, D]."
        )


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return all(map(_is_plain, value)) if isinstance(value, (list, tuple)) else isinstance(value, PLAIN)
