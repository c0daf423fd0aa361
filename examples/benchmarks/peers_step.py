# B batch, H W height and width, N tokens
"""What all take part in that ``peers.py`` compares: sizes, images, masks, and the training step."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jepa_lightning.nn import VIT_SIZES
from jepa_lightning.types import Masks

Step = Callable[[], object]
DECAY = 0.996  # of EMA targets
PRECISIONS = ("fp32", "bf16")


class Contest(NamedTuple):
    """Sizes, images and masks, the same for all.

    Attributes:
        encoder: name of a size.
        patch_size: side of a patch.
        images: ``[B, 3, H, W]``, random.
        other_images: second views of them.
        blocks: I-JEPA's masks.
        random: MAE's.
        predictor_depth: blocks of I-JEPA's predictor.
        predictor_dim: width of its tokens.
        decoder: width, blocks and heads of MAE's decoder.
        head: inner width and output of SimCLR's head.
        temperature: of SimCLR.
    """

    encoder: str
    patch_size: int
    images: Tensor
    other_images: Tensor
    blocks: Masks
    random: Masks
    predictor_depth: int = 6
    predictor_dim: int = 384
    decoder: tuple[int, int, int] = (512, 8, 16)
    head: tuple[int, int] = (2048, 128)
    temperature: float = 0.1

    @property
    def image_size(self) -> int:
        """Side of an image."""
        return self.images.shape[-1]

    @property
    def tokens(self) -> int:
        """N."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def size(self) -> tuple[int, int, int]:
        """Width, depth and heads of the encoder."""
        return VIT_SIZES[self.encoder][:3]


class Entry(NamedTuple):
    """A method as somebody composes it.

    Attributes:
        networks: all that is trained.
        loss: of the contest's images.
        pairs: networks and the targets that follow them.
        fused: take the fused kernel of AdamW, which torch does not take by itself on a CPU.
    """

    networks: Sequence[nn.Module]
    loss: Callable[[], Tensor]
    pairs: Sequence[tuple[nn.Module, nn.Module]] = ()
    fused: bool = False

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Those that are trained."""
        return [each for network in self.networks for each in network.parameters() if each.requires_grad]


def step_of(entry: Entry, precision: str = "fp32") -> Step:
    """Forward pass, backward pass, AdamW and EMA: the same code for all, but for the kernel of AdamW.

    Args:
        entry: whose step.
        precision: one of ``PRECISIONS``; bf16 is autocast to bfloat16.
    """
    optimizer = torch.optim.AdamW(entry.parameters, lr=1e-4, weight_decay=0.05, fused=entry.fused or None)
    sources = [each for online, _ in entry.pairs for each in online.parameters()]
    moved = [each for _, target in entry.pairs for each in target.parameters()]

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = entry.loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if moved:
            with torch.no_grad():
                torch._foreach_lerp_(moved, sources, 1 - DECAY)

    return step
