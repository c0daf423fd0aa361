# B batch, C channels, H W height and width, N tokens, D width
"""What each method is said to need, taken away from it: `compare_methods.py --ablate` trains these."""

from typing import Any, NamedTuple

import torch
from collapse_variants import NoPredictor, OneNetwork
from torch import Tensor, nn

from jepa_lightning import BYOL, DINO, IJEPA, MAE, JEPAModule, MoCo, SimCLR, SimSiam
from jepa_lightning.losses import prediction_loss
from jepa_lightning.masking import MaskSampler
from jepa_lightning.types import Batch, Masks, StepOutput


class AllTokens:
    """Masks whose context is the whole image, targets included."""

    def __init__(self, masks: Any) -> None:
        self.masks, self.grid_size = masks, masks.grid_size

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """As a ``MaskSampler``."""
        every = torch.arange(self.grid_size[-2] * self.grid_size[-1]).expand(batch_size, -1)
        return Masks(every, self.masks(batch_size, generator, sizes).target)


class IJEPAWithoutMasks(IJEPA):
    """The context holds the targets' own patches."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.masks: MaskSampler = AllTokens(self.masks)


class MAEWithoutMasks(MAE):
    """The visible patches hold those to be reconstructed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.masks: MaskSampler = AllTokens(self.masks)


class SimCLRWithoutNegatives(SimCLR):
    """Views of an image are brought together, and nothing keeps those of different images apart."""

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """2 - 2 cos of the projections of two views."""
        features = [self.features(self.encoder, view) for view in self.two_views(batch)]
        first, second = (self.projector(pooled) for pooled in features)
        return StepOutput(2 * prediction_loss(first, second, "cosine"), features[0].detach(), {})


class MoCoWithoutNegatives(MoCo):
    """The same, towards the key of the EMA target."""

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """2 - 2 cos of query and key."""
        query, key = self.embed(*self.two_views(batch))
        return StepOutput(2 * prediction_loss(query, key, "cosine"), None, {})


class BYOLWithoutPredictor(BYOL):
    """The projection itself is brought to the target's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictor = nn.Identity()


class BYOLWithGradient(BYOL):
    """No stop-gradient: the online networks are their own target."""

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """The loss of BYOL, with a gradient through both sides."""
        features = [self.features(self.encoder, view) for view in self.two_views(batch)]
        projected = [self.projector(pooled) for pooled in features]
        pairs = zip(projected, reversed(projected), strict=True)
        losses = [prediction_loss(self.predictor(context), target, "cosine") for context, target in pairs]
        return StepOutput(2 * torch.stack(losses).sum(), features[0].detach(), {})


class SimSiamWithoutPredictor(SimSiam):
    """The projections of two views are compared, one of them without a gradient."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.predictor = nn.Identity()


class SimSiamWithGradient(SimSiam):
    """No stop-gradient."""

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """The loss of SimSiam, with a gradient through both sides."""
        features = [self.features(self.encoder, view) for view in self.two_views(batch)]
        first, second = (self.projector(pooled) for pooled in features)
        there = prediction_loss(self.predictor(first), second, "cosine")
        back = prediction_loss(self.predictor(second), first, "cosine")
        return StepOutput((there + back) / 2, features[0].detach(), {})


class NoCenter(nn.Module):
    """Stays at 0, where DINO's center follows the teacher's outputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(width))

    def forward(self, logits: Tensor) -> None:
        """Does nothing."""


class DINOWithoutCentering(DINO):
    """The teacher's assignments are sharpened, and not evened out."""

    def __init__(self, num_prototypes: int, **kwargs: Any) -> None:
        super().__init__(num_prototypes=num_prototypes, **kwargs)
        self.centre = NoCenter(num_prototypes)


class Ablation(NamedTuple):
    """One run beside that of the method as it is.

    Attributes:
        method: name of the method.
        without: what is taken away.
        options: over those of the method.
        module: a subclass, where options do not suffice.
    """

    method: str
    without: str
    options: dict[str, Any] = {}  # noqa: RUF012
    module: type[JEPAModule] | None = None


VIEWS = "augmentations"  # the first column after that of the method as it is
NEGATIVES = "negatives"
WHOLE = {"crop_scale": (1.0, 1.0), "flip": 0.0}
SAME = WHOLE | {"color_strength": 0.0}
NOW = {"ema": (0.0, 0.0)}  # the target is the online network of the last step
ABLATIONS = (
    Ablation("IJEPA", VIEWS, WHOLE),
    Ablation("IJEPA", "EMA", NOW),
    Ablation("IJEPA", "stop-gradient", NOW, OneNetwork),
    Ablation("IJEPA", "predictor", {}, NoPredictor),
    Ablation("IJEPA", "masks", {}, IJEPAWithoutMasks),
    Ablation("IJEPA", "`content`", {"content": 0.0}),
    Ablation("MAE", VIEWS, WHOLE),
    Ablation("MAE", "masks", {}, MAEWithoutMasks),
    Ablation("SimCLR", VIEWS, SAME),
    Ablation("SimCLR", NEGATIVES, {}, SimCLRWithoutNegatives),
    Ablation("MoCo", VIEWS, SAME),
    Ablation("MoCo", NEGATIVES, {}, MoCoWithoutNegatives),
    Ablation("MoCo", "EMA", NOW),
    Ablation("BYOL", VIEWS, SAME),
    Ablation("BYOL", "EMA", NOW),
    Ablation("BYOL", "predictor", {}, BYOLWithoutPredictor),
    Ablation("BYOL", "stop-gradient", NOW, BYOLWithGradient),
    Ablation("SimSiam", VIEWS, SAME),
    Ablation("SimSiam", "predictor", {}, SimSiamWithoutPredictor),
    Ablation("SimSiam", "stop-gradient", {}, SimSiamWithGradient),
    Ablation("DINO", VIEWS, SAME | {"local_crop_scale": (1.0, 1.0)}),
    Ablation("DINO", "EMA", NOW),
    Ablation("DINO", "centering", {}, DINOWithoutCentering),
    Ablation("DINO", "sharpening", {"teacher_temperature": (0.1, 0.1)}),
    Ablation("VICReg", VIEWS, SAME),
    Ablation("VICReg", "statistics", {"variance": 0.0, "covariance": 0.0}),
    Ablation("BarlowTwins", VIEWS, SAME),
    Ablation("BarlowTwins", "decorrelation", {"off_diagonal": 0.0}),
    Ablation("LeJEPA", VIEWS, SAME | {"local_crop_scale": (1.0, 1.0)}),
    Ablation("LeJEPA", "SIGReg", {"sigreg_share": 0.0}),
)
