"""Vision Transformers of ``transformers`` for encoders that have no class token, in the form of the reference."""

from pathlib import Path

from jepa_lightning.interop.fitting import NotLikeError
from jepa_lightning.interop.huggingface_timm import PARTS
from jepa_lightning.interop.huggingface_vit_reader import HuggingFaceViT
from jepa_lightning.interop.reference_file import Reference

WITHOUT = "the encoder here has no class token, so its patch tokens are not those of the source"


def without_class_token(found: HuggingFaceViT, folder: Path) -> Reference:
    """The patch tokens of a Vision Transformer: its weights and positions, and no class token.

    What comes out is a start for training, and not what the source computes, whose patches see the class token too.

    Args:
        found: as of ``open_vit``.
        folder: of it, for messages.

    Raises:
        NotLikeError: if it has LayerScale or register tokens, which are not taken into named sizes.
    """
    for name, part in PARTS.items():
        if name in found.weights:
            raise NotLikeError(
                f"{folder} has {part}, which encoders of named sizes do not take: choose one of timm, as timm:NAME."
            )
    state = {name: value for name, value in found.weights.items() if name != "cls_token"}
    state["pos_embed"] = state["pos_embed"][:, 1:]
    return Reference(
        str(folder),
        folder,
        "ijepa",
        {"encoder": state},
        image_size=found.size,
        heads=found.heads,
        eps=found.eps,
        alone=True,
        skipped={**found.skipped, "cls_token": WITHOUT},
    )
