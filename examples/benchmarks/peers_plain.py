# B batch, N tokens, D encoder width, K Kc Kt kept tokens, p side of a patch
"""I-JEPA, MAE and SimCLR as one writes them by hand on timm's Vision Transformer, for ``peers.py``."""

import copy
from collections.abc import Callable

import torch
from peers_step import Contest, Entry
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F


def encoder_of(contest: Contest, any_size: bool = False) -> VisionTransformer:
    """The Vision Transformer of timm in the contest's size, without class token.

    Args:
        contest: what is compared.
        any_size: take images of other sizes too.
    """
    width, depth, heads = contest.size
    return VisionTransformer(
        img_size=contest.image_size, patch_size=contest.patch_size, embed_dim=width, depth=depth, num_heads=heads,
        class_token=False, global_pool="avg", fc_norm=False, num_classes=0,
        dynamic_img_size=any_size,
    )  # fmt: skip


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens ``[B, N, D]`` at int64 ``[B, K]``: ``[B, K, D]``."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def encode(vit: VisionTransformer, images: Tensor, keep: Tensor | None = None) -> Tensor:
    """Tokens of the kept patches: ``[B, K, D]``."""
    tokens = vit.patch_embed(images) + vit.pos_embed
    return vit.norm(vit.blocks(tokens if keep is None else take(tokens, keep)))


class Filler(nn.Module):
    """Fills in masked tokens: a predictor of I-JEPA, or a decoder of MAE."""

    def __init__(self, tokens: int, width: int, dim: int, depth: int, heads: int, out: int) -> None:
        super().__init__()
        self.embed, self.project = nn.Linear(width, dim), nn.Linear(dim, out)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, dim))
        self.blocks, self.norm = (
            nn.Sequential(*(Block(dim, heads, qkv_bias=True) for _ in range(depth))),
            nn.LayerNorm(dim),
        )

    def forward(self, context: Tensor, seen: Tensor, wanted: Tensor) -> Tensor:
        """Context ``[B, Kc, D]``, where it stands ``[B, Kc]`` and what is wanted ``[B, Kt]``, to ``[B, Kt, out]``."""
        positions = self.positions.expand(len(context), -1, -1)
        known, masked = self.embed(context) + take(positions, seen), self.mask_token + take(positions, wanted)
        tokens = self.blocks(torch.cat([known, masked], dim=1))
        return self.project(self.norm(tokens[:, known.shape[1] :]))


def ijepa(contest: Contest) -> Entry:
    """Each target block is predicted from the context on its own, all blocks as one batch."""
    context_encoder, (width, _, heads) = encoder_of(contest), contest.size
    target_encoder = copy.deepcopy(context_encoder).requires_grad_(False).eval()
    predictor = Filler(contest.tokens, width, contest.predictor_dim, contest.predictor_depth, heads, width)
    images, masks = contest.images, contest.blocks
    blocks = masks.target.shape[1]
    wanted, seen = masks.target.flatten(0, 1), masks.context.repeat_interleave(blocks, dim=0)

    def loss() -> Tensor:
        with torch.no_grad():
            tokens = encode(target_encoder, images)
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
            target = take(tokens.repeat_interleave(blocks, dim=0), wanted)
        context = encode(context_encoder, images, masks.context).repeat_interleave(blocks, dim=0)
        return F.smooth_l1_loss(predictor(context, seen, wanted), target)

    return Entry([context_encoder, predictor], loss, [(context_encoder, target_encoder)])


def mae(contest: Contest) -> Entry:
    """The decoder rebuilds the normalized pixels of masked patches."""
    encoder, p = encoder_of(contest), contest.patch_size
    decoder = Filler(contest.tokens, contest.size[0], *contest.decoder, 3 * p * p)
    images, seen, wanted = contest.images, contest.random.context, contest.random.target.flatten(1)
    rows, columns = images.shape[-2] // p, images.shape[-1] // p

    def loss() -> Tensor:
        predicted = decoder(encode(encoder, images, seen), seen, wanted)
        patches = images.reshape(len(images), 3, rows, p, columns, p).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        patches = take(patches, wanted)
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        return F.mse_loss(predicted, (patches - mean) / (variance + 1e-6).sqrt())

    return Entry([encoder, decoder], loss)


def simclr(contest: Contest) -> Entry:
    """NT-Xent of both views, encoded as one batch."""
    encoder, (hidden, out) = encoder_of(contest), contest.head
    head = nn.Sequential(
        nn.Linear(contest.size[0], hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
        nn.Linear(hidden, out),
    )  # fmt: skip
    both, number = torch.cat([contest.images, contest.other_images]), len(contest.images)
    itself, positive = torch.eye(2 * number, dtype=torch.bool), torch.arange(2 * number).roll(number)

    def loss() -> Tensor:
        directions = F.normalize(head(encoder(both)), dim=1)
        cosines = (directions @ directions.T) / contest.temperature
        return F.cross_entropy(cosines.masked_fill(itself, -torch.inf), positive)

    return Entry([encoder, head], loss)


def explicit(method: Callable[[Contest], Entry]) -> Callable[[Contest], Entry]:
    """A method without torch's fused attention."""

    def build(contest: Contest) -> Entry:
        entry = method(contest)
        targets = [target for _, target in entry.pairs]
        for module in (each for network in (*entry.networks, *targets) for each in network.modules()):
            if isinstance(module, Attention):
                module.fused_attn = False
        return entry

    return build


METHODS: dict[str, Callable[[Contest], Entry]] = {"I-JEPA": ijepa, "MAE": mae, "SimCLR": simclr}
EXPLICIT = {name: explicit(method) for name, method in METHODS.items()}
