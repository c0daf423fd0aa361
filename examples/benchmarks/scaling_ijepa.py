# B batch, D width, H hidden width, L length of a sequence, N tokens of the grid, M target blocks, Kc Kt kept tokens
"""Parameters, FLOPs and activations of I-JEPA, counted from its sizes alone. ``scaling.py --paper`` builds on them."""

from dataclasses import dataclass
from functools import cache

import torch

from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.nn import vit_size

FP32, BF16 = 4, 2  # bytes


@dataclass(frozen=True)
class Network:
    """A stack of transformer blocks.

    Args:
        width: D.
        hidden: H, of the MLP.
        depth: number of blocks.
        rest: parameters outside of the blocks.
    """

    width: int
    hidden: int
    depth: int
    rest: int

    @property
    def block(self) -> int:
        """Parameters of one block: two norms, attention and MLP, with biases."""
        return 4 * self.width**2 + 2 * self.width * self.hidden + 9 * self.width + self.hidden

    @property
    def parameters(self) -> int:
        """Of all blocks and the rest."""
        return self.depth * self.block + self.rest

    @property
    def units(self) -> list[int]:
        """Parameters that FSDP2 gathers at a time, in the order of the forward pass: the rest, then each block."""
        return [self.rest, *([self.block] * self.depth)]

    def linear_flops(self, length: float, last: float | None = None) -> float:
        """Of all blocks' linear layers, forward, for one sequence; the last block is cut to its last tokens."""
        cut = 0.0 if last is None else (length - last) * (2 * self.width**2 + 4 * self.width * self.hidden)
        return self.depth * length * (8 * self.width**2 + 4 * self.width * self.hidden) - cut

    def attention_flops(self, length: float, last: float | None = None) -> float:
        """Of all blocks' scores and their use, forward, for one sequence; the last block is cut to its last tokens."""
        cut = 0.0 if last is None else 4 * (length - last) * length * self.width
        return self.depth * 4 * length**2 * self.width - cut

    def training_flops(self, length: float, recompute: bool = False, last: float | None = None) -> tuple[float, float]:
        """Forward and backward, for one sequence.

        A linear layer has two products backward for one forward, and attention five for two, as it recomputes its
        scores.

        Args:
            length: L.
            recompute: blocks run forward once more in the backward pass, up to their last layer, whose output is known.
            last: tokens that the last block computes, from keys and values of all; None computes all.
        """
        linear, attention = self.linear_flops(length, last), self.attention_flops(length, last)
        tokens = self.depth * length - (0.0 if last is None else length - last)
        again = linear + attention - tokens * 2 * self.width * self.hidden if recompute else 0.0
        return linear + attention, 2 * linear + 2.5 * attention + again

    def activations(self, length: float, recompute: bool = False, last: float | None = None) -> float:
        """Bytes that the blocks keep for the backward pass of one sequence, under bf16 autocast.

        The stream between blocks is fp32 and both norms keep it; the linear layers keep their inputs in bf16, attention
        its queries, keys, values and output, and the GELU its input.

        Args:
            length: L.
            recompute: keep the stream before each block, and all of one block alone.
            last: as in ``training_flops``.
        """
        stream = FP32 * self.width
        block = 2 * stream + BF16 * (6 * self.width + 2 * self.hidden)
        if recompute:
            return length * (self.depth * stream + block - stream)
        # of tokens that the last block does not compute it keeps the stream, and the input, keys and values
        cut = 0.0 if last is None else (length - last) * (stream + BF16 * (2 * self.width + 2 * self.hidden))
        return length * self.depth * block - cut


@dataclass(frozen=True)
class Architecture:
    """An I-JEPA as the paper has it: context and target encoder alike, and a narrow predictor with four target blocks.

    Args:
        name: to print.
        encoder: a named size.
        image_size: of a square, pixels.
        patch_size: of a square, pixels.
        predictor_depth: blocks of the predictor.
        predictor_dim: its width.
        depth: overrides the named size's.
        width: overrides the named size's.
        heads: overrides the named size's.
    """

    name: str
    encoder: str
    image_size: int
    patch_size: int
    predictor_depth: int
    predictor_dim: int = 384
    depth: int | None = None
    width: int | None = None
    heads: int | None = None
    num_targets = 4

    @property
    def grid(self) -> int:
        """Tokens along one side."""
        return self.image_size // self.patch_size

    @property
    def networks(self) -> tuple[Network, Network]:
        """The encoder and the predictor."""
        size = vit_size(self.encoder, width=self.width, depth=self.depth, heads=self.heads)
        wide, narrow = size.width, self.predictor_dim
        patches = (3 * self.patch_size**2 + 1) * wide
        encoder = Network(wide, int(wide * size.mlp_ratio), size.depth, patches + 2 * wide)
        # mask token, the way in, norm, the way out
        rest = narrow + (wide + 1) * narrow + 2 * narrow + (narrow + 1) * wide
        return encoder, Network(narrow, 4 * narrow, self.predictor_depth, rest)

    def flops(self, context: float, target: float, recompute: bool = False) -> dict[str, float]:
        """Of a training step for one image, by pass.

        Patches of the whole image are embedded by both encoders, and only the context's have a backward pass, which
        ends at their weights. The predictor runs once a target block, each time with the whole context; its last block
        computes the target tokens alone.

        Args:
            context: Kc.
            target: Kt.
            recompute: as in ``Network.training_flops``.
        """
        encoder, predictor = self.networks
        tokens, blocks = self.grid**2, self.num_targets
        patches = 2 * tokens * 3 * self.patch_size**2 * encoder.width
        across = 2 * encoder.width * predictor.width  # of one token, on the way in or out
        ends = across * (context + blocks * target)
        seen_forward, seen_backward = encoder.training_flops(context, recompute)
        row_forward, row_backward = predictor.training_flops(context + target, recompute, last=target)
        return {
            "target": patches + encoder.linear_flops(tokens) + encoder.attention_flops(tokens),
            "context": patches + seen_forward,
            "predictor": ends + blocks * row_forward,
            "predictor backward": 2 * ends + blocks * row_backward,
            "context backward": patches + seen_backward,
        }

    def activations(self, context: float, target: float, recompute: bool = False) -> float:
        """Bytes that are kept for the backward pass of one image, under bf16 autocast.

        Args:
            context: Kc.
            target: Kt.
            recompute: as in ``Network.activations``.
        """
        encoder, predictor = self.networks
        wide, narrow, predicted = encoder.width, predictor.width, self.num_targets * target
        image = (FP32 + BF16) * 3 * self.image_size**2
        # norms at the end keep the fp32 stream, the linear layer after them its bf16 input; the loss keeps both sides
        ends = (FP32 + BF16) * (context * wide + predicted * narrow) + 2 * FP32 * predicted * wide
        tokens = FP32 * self.grid**2 * wide  # of the target encoder, held for the callbacks
        rows = self.num_targets * predictor.activations(context + target, recompute, last=target)
        return image + ends + tokens + encoder.activations(context, recompute) + rows


@cache
def kept_tokens(grid: int, batch_size: int, draws: int = 50) -> tuple[float, float]:
    """Mean Kc and Kt that the masks of so large a batch keep; contexts are cut to the shortest of the batch."""
    masks, generator = MultiBlockMask(grid), torch.Generator().manual_seed(0)
    drawn = [masks(batch_size, generator) for _ in range(draws)]
    lengths = torch.tensor([[one.context.shape[-1], one.target.shape[-1]] for one in drawn], dtype=torch.float)
    context, target = lengths.mean(0).tolist()
    return context, target


PAPER = (
    Architecture("ViT-H/14", "vit_huge", 224, 14, predictor_depth=12),
    Architecture("ViT-g/16", "vit_giant", 224, 16, predictor_depth=16),
)
