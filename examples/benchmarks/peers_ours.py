"""I-JEPA, MAE and SimCLR of this package, for ``peers.py``."""

from collections.abc import Callable
from functools import partial

from peers_step import Contest, Entry

from jepa_lightning import IJEPA, MAE, JEPAModule, SimCLR
from jepa_lightning.nn import compile_blocks
from jepa_lightning.nn.predictor import PredictorAttention
from jepa_lightning.types import Batch


def entry_of(module: JEPAModule, batch: Batch) -> Entry:
    """A module with a batch, and the kernel of AdamW that the package takes."""
    return Entry([module], lambda: module.objective(batch, 0.0).loss, module.ema_pairs(), fused=True)


def ijepa(contest: Contest, attention: PredictorAttention = "full") -> Entry:
    """The paper's, unless attention is shared in the predictor."""
    module = IJEPA(
        contest.encoder, contest.image_size, contest.patch_size,
        predictor_depth=contest.predictor_depth, predictor_dim=contest.predictor_dim, predictor_attention=attention,
    )  # fmt: skip
    return entry_of(module, Batch([contest.images], (contest.blocks,)))


def mae(contest: Contest) -> Entry:
    """The paper's."""
    width, depth, heads = contest.decoder
    module = MAE(
        contest.encoder, contest.image_size, contest.patch_size,
        decoder_dim=width, decoder_depth=depth, decoder_heads=heads,
    )  # fmt: skip
    return entry_of(module, Batch([contest.images], (contest.random,)))


def simclr(contest: Contest) -> Entry:
    """The paper's, on a Vision Transformer."""
    hidden, out = contest.head
    module = SimCLR(
        contest.encoder, image_size=contest.image_size, patch_size=contest.patch_size,
        projector_hidden=hidden, projector_dim=out, temperature=contest.temperature,
    )  # fmt: skip
    return entry_of(module, Batch([contest.images, contest.other_images]))


def compiled(method: Callable[[Contest], Entry]) -> Callable[[Contest], Entry]:
    """A method with each of its transformer blocks compiled."""

    def build(contest: Contest) -> Entry:
        entry = method(contest)
        for network in entry.networks:
            compile_blocks(network)
        return entry

    return build


def unfused(method: Callable[[Contest], Entry]) -> Callable[[Contest], Entry]:
    """A method with the AdamW that all others have."""
    return lambda contest: method(contest)._replace(fused=False)


METHODS: dict[str, Callable[[Contest], Entry]] = {"I-JEPA": ijepa, "MAE": mae, "SimCLR": simclr}
SHARED = {"I-JEPA": partial(ijepa, attention="shared")}
UNFUSED = {name: unfused(method) for name, method in METHODS.items()}
COMPILED = {name: compiled(method) for name, method in METHODS.items()}
