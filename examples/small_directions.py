"""What may help a method on small images, each alone beside the method as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from small_methods import ENCODER, OPTIONS
from torch import Tensor, nn

import jepa_lightning
from jepa_lightning import IJEPA, JEPAModule
from jepa_lightning.data import Pipeline, RepeatedView
from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.data.pipelines import to_tensor
from jepa_lightning.modules.building import masked_encoder
from jepa_lightning.nn import VisionTransformer, take_tokens
from jepa_lightning.options import PositiveFloat

RECIPE = Path(__file__).parents[1] / "configs" / "ijepa" / "small.yaml"
AS_IT_IS = "as it is"


class RotaryIJEPA(IJEPA):
    """Rotary positions in place of the sin-cos table."""

    def build_encoder(self) -> nn.Module:
        """The encoder, with rotary positions."""
        return masked_encoder(self, legacy_init=self.legacy_init, rope="exact")

    def predictor_options(self) -> dict[str, Any]:
        """Rotary positions in the predictor too."""
        return super().predictor_options() | {"rope": "exact"}


class ScaledPositionsIJEPA(IJEPA):
    """A smaller sin-cos table, beside which patches weigh more.

    Args:
        positions: factor on the encoder's table.
        options: of ``IJEPA``.
    """

    def __init__(self, positions: PositiveFloat = 0.5, **options: Any) -> None:
        self.positions = positions
        super().__init__(**options)

    def build_encoder(self) -> nn.Module:
        """The encoder, with a scaled table."""
        encoder: Any = super().build_encoder()
        encoder.pos_embed.mul_(self.positions)
        return encoder


class ConditionedEncoder(VisionTransformer):
    """An encoder that is told which positions are hidden from it: the mean of their table is one more token.

    For a whole image it is the mean of the whole table.
    """

    def extra_tokens(self, keep: Tensor | None) -> Tensor:
        """``[B, 1, D]``, or ``[1, 1, D]`` of the whole grid."""
        whole = self.pos_embed
        if keep is None or keep.shape[1] == whole.shape[1]:
            return whole.mean(dim=1, keepdim=True)
        kept = take_tokens(whole.expand(len(keep), -1, -1), keep)
        hidden = whole.shape[1] - keep.shape[1]
        return (whole.sum(dim=1, keepdim=True) - kept.sum(dim=1, keepdim=True)) / hidden


class ConditionedIJEPA(IJEPA):
    """Encoders that know the positions of the other side, in the manner of EC-IJEPA (arXiv 2410.10773).

    The paper has several tokens of pooled positions and conditions the target encoder on the context's; here the
    context is nearly the whole image, so that the whole grid stands for it.
    """

    def build_encoder(self) -> nn.Module:
        """The conditioned encoder, of a named size."""
        return ConditionedEncoder(
            self.image_size, self.patch_size, *self.size or (), in_channels=self.in_channels,
            drop_path=self.drop_path, legacy_init=self.legacy_init, norm_eps=self.norm_eps,
            patch_embedding=self.patch_embedding,
        )  # fmt: skip


class ColorIJEPA(IJEPA):
    """Changed colors, for those who allow augmentations."""

    def pipeline(self) -> Pipeline:
        """Crops of changed brightness, contrast and saturation."""
        view = Augmentation(self.crop_scale, self.flip, jitter=(0.4, 0.4, 0.4, 0.0), grayscale=0.0, blur=0.0)
        steps = to_tensor(view.steps(self.image_size, self.in_channels), self.mean, self.std)
        return replace(super().pipeline(), transform=RepeatedView(steps, self.num_crops))


class Direction(NamedTuple):
    """One thing that differs from a method as it is.

    Attributes:
        method: name of the method.
        name: of the direction.
        options: over those of the method.
        module: a subclass, where options do not suffice.
        batch_size: of the training data; None takes that of the sweep.
        taught_by: method whose encoder is trained for the first half of the steps and then gives the targets, frozen.
    """

    method: str
    name: str = AS_IT_IS
    options: dict[str, Any] = {}  # noqa: RUF012
    module: type[JEPAModule] | None = None
    batch_size: int | None = None
    taught_by: str | None = None


FOUR = {"num_targets": 4, "target_scale": (0.15, 0.2), "context_scale": (0.85, 1.0)}
ONE_CROP = {"num_crops": 1, "invariance": 0.0}
NO_SPREAD = {"regularizer": None, "projector_dim": None, "uniformity": 1.0}  # the default, since nothing reads it
COMPARED = {**FOUR, **ONE_CROP, **NO_SPREAD, "content": 1.0, "crop_scale": (0.8, 1.0)}
STEM = {"patch_embedding": "convolutional"}
REGISTERS = {"registers": 4}
TWO_VIEWS = ("SimCLR", "MoCo", "BYOL", "SimSiam", "DINO", "VICReg", "BarlowTwins", "LeJEPA")


def preset(method: str, name: str) -> dict[str, Any]:
    """Options that give a preset of views all its crops."""
    if name == AS_IT_IS:
        return {}
    crops = ("crop_scale", "local_crop_scale") if method in ("DINO", "LeJEPA") else ("crop_scale",)
    return {"augment": name, **dict.fromkeys(crops)}


DIRECTIONS = (
    Direction("IJEPA"),
    Direction("IJEPA", "linear patches", {"patch_embedding": "linear"}),
    Direction("IJEPA", "4 registers", REGISTERS),
    *(
        Direction("IJEPA", f"positions x {factor}", {"positions": factor}, ScaledPositionsIJEPA)
        for factor in (0.25, 0.5)
    ),
    Direction("IJEPA", "rotary positions", module=RotaryIJEPA),
    Direction("IJEPA", "conditioned encoders", module=ConditionedIJEPA),
    Direction("IJEPA", "four blocks", FOUR),
    Direction("IJEPA", "four blocks, shared predictor", FOUR | {"predictor_attention": "shared"}),
    Direction("IJEPA", "one crop", ONE_CROP),
    Direction("IJEPA", "one crop, without uniformity", ONE_CROP | NO_SPREAD),
    Direction("IJEPA", "of the comparison", COMPARED),
    Direction("IJEPA", "half the weight of views", {"invariance": 2.0, "uniformity": 1.0}),
    Direction("IJEPA", "crops from .8", {"crop_scale": (0.8, 1.0)}),
    Direction("IJEPA", "context loss", {"context_loss": 0.5}),
    Direction("IJEPA", "scaled initialization", {"legacy_init": False}),
    Direction("IJEPA", "flips", {"flip": 0.5}),
    Direction("IJEPA", "colors", module=ColorIJEPA),
    Direction("IJEPA", "EMA from .9", {"ema": (0.9, 1.0)}),
    Direction("IJEPA", "EMA from .996", {"ema": (0.996, 1.0)}),
    Direction("IJEPA", "targets of the last layer", {"target_layers": 1}),
    *(Direction("IJEPA", f"content {weight:g}", {"content": weight}) for weight in (0.0, 2.0, 4.0)),
    Direction("IJEPA", "batch 256", batch_size=256),
    # SALT (arXiv 2509.24317)
    Direction("IJEPA", "taught by MAE", {"target_layers": 1}, taught_by="MAE"),
    Direction("MAE"),
    Direction("MAE", "convolutional stem", STEM),
    Direction("MAE", "4 registers", REGISTERS),
    Direction("MAE", "flips", {"flip": 0.5}),
    *(Direction(method, name, preset(method, name)) for method in TWO_VIEWS for name in (AS_IT_IS, "small", "crops")),
    *(Direction(method, "crops and stem", preset(method, "crops") | STEM) for method in TWO_VIEWS),
)


def base_of(method: str) -> dict[str, Any]:
    """Options of a method as it is: I-JEPA's are its recipe for small images, the others' those of the comparison."""
    if method != "IJEPA":
        return ENCODER | OPTIONS[method]
    return ENCODER | yaml.safe_load(RECIPE.read_text())["model"]["init_args"] | {"depth": ENCODER["depth"]}


def build(direction: Direction, image_size: int, patch_size: int, **changed: Any) -> JEPAModule:
    """The module of a direction.

    Args:
        direction: which.
        image_size: side of the views in pixels.
        patch_size: side of the patches in pixels.
        changed: options over all others, such as a smaller encoder.
    """
    cls = direction.module or getattr(jepa_lightning, direction.method)
    size = {"image_size": image_size, "patch_size": patch_size}
    module: JEPAModule = cls(**base_of(direction.method) | size | direction.options | changed)
    return module
