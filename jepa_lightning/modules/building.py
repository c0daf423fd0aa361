"""How modules build their networks: the Vision Transformer that is masked, and what an error says about the order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from jepa_lightning.modules.unused_options import refuse_unused
from jepa_lightning.nn import VisionTransformer


@contextmanager
def building(module: nn.Module) -> Iterator[None]:
    """Says the order of construction where networks need an attribute that a subclass sets later.

    Args:
        module: whose networks are built in the block.

    Raises:
        AttributeError: if it has no such attribute.
    """
    try:
        yield
    except AttributeError as error:
        if not str(error).startswith(f"'{type(module).__name__}' object has no attribute"):
            raise
        raise AttributeError(
            f"{str(error).rstrip('.')}: networks are built within super().__init__(), so set what they need before "
            "that call."
        ) from error


def masked_encoder(module: Any, **options: Any) -> nn.Module:
    """The encoder of a method that has it encode a part of the tokens: that of a named size, or the one that was given.

    Args:
        module: an ``EncoderModule`` with ``size``, as of ``named_size``, ``drop_path``, ``gradient_checkpointing``,
            ``registers`` and ``patch_embedding``.
        options: further ones of a named size's ``VisionTransformer``.

    Raises:
        ValueError: if what was given is no encoder, or an option does not apply to it.
    """
    shared: dict[str, Any] = {"drop_path": module.drop_path, "gradient_checkpointing": module.gradient_checkpointing}
    own: dict[str, Any] = {"registers": module.registers, "patch_embedding": module.patch_embedding}
    if module.size is None:
        refuse_unused(type(module), dict.fromkeys(own, f"{module.encoder_label} has tokens of its own"), own)
        network: nn.Module = module.other_encoder(**shared)
        return network
    given = {**shared, **own, "in_channels": module.in_channels, **options}
    return VisionTransformer(module.image_size, module.patch_size, *module.size, **given)
