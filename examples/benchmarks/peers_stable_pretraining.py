"""I-JEPA, MAE and SimCLR of stable-pretraining on timm's Vision Transformer, for ``peers.py``."""

from collections.abc import Callable

from peers_plain import encoder_of
from peers_step import Contest, Entry
from stable_pretraining import methods
from timm.models.vision_transformer import VisionTransformer


def ijepa(contest: Contest) -> Entry:
    """It draws its masks in the step."""
    module = methods.IJEPA(
        encoder_of(contest), contest.predictor_dim, contest.predictor_depth, num_targets=contest.blocks.target.shape[1]
    )
    encoder = module.encoder
    return Entry([module], lambda: module(contest.images).loss, [(encoder.student, encoder.teacher)])


def mae(contest: Contest) -> Entry:
    """It draws its masks in the step."""
    module = methods.MAE(encoder_of(contest), *contest.decoder)
    return Entry([module], lambda: module(contest.images).loss)


def simclr(contest: Contest) -> Entry:
    """It asks the encoder for features of 224 px once, to learn their width."""
    encoder: VisionTransformer = encoder_of(contest, any_size=True)
    module = methods.SimCLR(encoder, projector_dims=contest.head, temperature=contest.temperature)
    return Entry([module], lambda: module(contest.images, contest.other_images).loss)


METHODS: dict[str, Callable[[Contest], Entry]] = {"I-JEPA": ijepa, "MAE": mae, "SimCLR": simclr}
