# B batch, C channels, H W height and width, N patches, p side of a patch
from torch import Tensor


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cuts images into patches in the order of an encoder's tokens.

    Args:
        images: ``[B, C, H, W]``.
        patch_size: p; what is left over at the right and at the bottom is in no patch.

    Returns:
        ``[B, N, p * p * C]``, each patch with its channels last.
    """
    # pixels beside the last whole patch are left out, as in the baseline of pixels for networks without patches
    patches = images.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)  # [B, C, rows, columns, p, p]
    return patches.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
