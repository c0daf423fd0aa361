# B batch, C channels, H W height and width, N patches, p side of a patch
from torch import Tensor

from jepa_lightning.nn.patch_projection import cut


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cuts images into patches in the order of an encoder's tokens.

    Args:
        images: ``[B, C, H, W]``.
        patch_size: p, which divides both sides.

    Returns:
        ``[B, N, p * p * C]``, each patch with its channels last.

    Raises:
        ValueError: if the patch does not divide the images.
    """
    return cut(images, (patch_size, patch_size)).movedim(3, -1).flatten(3).flatten(1, 2)
