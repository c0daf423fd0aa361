# B batch, C channels, H W height and width
"""What encoders of images of one size refuse."""

from collections.abc import Sequence

from torch import Tensor


def check_sizes(owner: str, name: str, numbers: Sequence[int], least: int = 1) -> None:
    """Refuses sizes that no network has.

    Args:
        owner: whose they are, for messages.
        name: of the option, for messages.
        numbers: of which there is at least one.
        least: what each of them has to be.

    Raises:
        ValueError: if there is none, or one is less, or no whole number.
    """
    if not len(numbers) or any(not isinstance(number, int) or number < least for number in numbers):
        given = numbers[0] if len(numbers) == 1 else list(numbers)
        raise ValueError(f"{owner}: {name}={given} is out of range: give whole numbers of at least {least}.")


def check_images(x: Tensor, channels: int, size: Sequence[int]) -> None:
    """Refuses images ``[B, C, H, W]`` that an encoder is not built for.

    Args:
        x: the images.
        channels: C of the encoder.
        size: H and W of the encoder.

    Raises:
        ValueError: if they have other channels, or another size.
    """
    if x.shape[1] != channels:
        raise ValueError(f"the encoder is built for images of {channels} channels, got {x.shape[1]}: set in_channels.")
    if tuple(x.shape[-2:]) != tuple(size):
        given, wanted = ("x".join(map(str, each)) for each in (x.shape[-2:], size))
        raise ValueError(f"the encoder is built for images of {wanted}, got {given}: set image_size.")
