"""I-JEPA, MAE and SimCLR of lightly's modules, composed as its documentation does, for ``peers.py``."""

import copy
from collections.abc import Callable

import torch
from lightly.loss import NTXentLoss
from lightly.models import utils
from lightly.models.modules import (
    IJEPAPredictorTIMM,
    MaskedVisionTransformerDecoderTIMM,
    MaskedVisionTransformerTIMM,
    SimCLRProjectionHead,
)
from peers_plain import encoder_of
from peers_step import Contest, Entry
from torch import Tensor, nn
from torch.nn import functional as F


def ijepa(contest: Contest) -> Entry:
    """The predictor takes lists of masks."""
    width, _, heads = contest.size
    student = MaskedVisionTransformerTIMM(encoder_of(contest))
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    predictor = IJEPAPredictorTIMM(contest.tokens, contest.predictor_depth, width, contest.predictor_dim, heads)
    images, seen, wanted = contest.images, contest.blocks.context, list(contest.blocks.target.unbind(1))

    def loss() -> Tensor:
        with torch.no_grad():
            tokens = teacher.encode(images)
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
            target = torch.cat([utils.get_at_index(tokens, block) for block in wanted])
        return F.smooth_l1_loss(predictor(student.encode(images, idx_keep=seen), [seen], wanted), target)

    return Entry([student, predictor], loss, [(student, teacher)])


def mae(contest: Contest) -> Entry:
    """Embedding and prediction are layers of one's own around the decoder."""
    width, depth, heads = contest.decoder
    encoder, patch = MaskedVisionTransformerTIMM(encoder_of(contest)), contest.patch_size
    embed, predict = nn.Linear(contest.size[0], width), nn.Linear(width, 3 * patch**2)
    decoder = MaskedVisionTransformerDecoderTIMM(contest.tokens, width, depth, heads, num_prefix_tokens=0)
    images, seen, wanted = contest.images, contest.random.context, contest.random.target.flatten(1)
    size = len(images), contest.tokens

    def loss() -> Tensor:
        tokens = utils.repeat_token(decoder.mask_token, size)
        tokens = utils.set_at_index(tokens, seen, embed(encoder.encode(images, idx_keep=seen)))
        predicted = predict(utils.get_at_index(decoder(tokens), wanted))
        target = utils.get_at_index(utils.patchify(images, patch), wanted)
        return F.mse_loss(predicted, utils.normalize_mean_var(target))

    return Entry([encoder, embed, decoder, predict], loss)


def simclr(contest: Contest) -> Entry:
    """Each view is encoded on its own."""
    backbone, (hidden, out) = encoder_of(contest), contest.head
    head, criterion = SimCLRProjectionHead(contest.size[0], hidden, out), NTXentLoss(contest.temperature)

    def loss() -> Tensor:
        first, second = (head(backbone(view).flatten(1)) for view in (contest.images, contest.other_images))
        return criterion(first, second)

    return Entry([backbone, head], loss)


METHODS: dict[str, Callable[[Contest], Entry]] = {"I-JEPA": ijepa, "MAE": mae, "SimCLR": simclr}
