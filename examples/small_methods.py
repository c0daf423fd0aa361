"""Every method on images at one small size: what the comparison, the sweep and the check on a GPU train."""

from typing import Any

import jepa_lightning
from jepa_lightning import JEPAModule
from jepa_lightning.data import DigitsDataModule, JEPADataModule, ShapesDataModule

# one optimizer and schedule for all of them
ENCODER = {
    "encoder": "vit_tiny", "depth": 4, "optimizer": "adamw", "lr": 1e-3, "start_lr": 1e-5, "final_lr": 1e-6,
    "warmup": 0.1, "weight_decay": 0.04,
}  # fmt: skip
# heads for an encoder of width 192, and what differs from the paper's defaults on images of a few thousand pixels
OPTIONS: dict[str, dict[str, Any]] = {
    "IJEPA": {
        "predictor_depth": 2, "predictor_dim": 96, "target_layers": 4, "content": 1.0, "crop_scale": (0.8, 1.0),
        "ema": (0.97, 1.0), "final_weight_decay": 0.04,
    },
    "MAE": {
        "decoder_depth": 2, "decoder_dim": 96, "decoder_heads": 3, "init": "normal", "interpolation": "bilinear",
    },
    "SimCLR": {"projector_hidden": 512, "temperature": 0.2},
    "MoCo": {"projector_hidden": 512, "queue_size": 2048, "ema": (0.97, 0.97)},
    "BYOL": {"projector_hidden": 512, "ema": (0.97, 1.0), "interpolation": "bilinear"},
    "SimSiam": {"projector_dim": 512, "predictor_hidden": 128},
    "DINO": {
        "num_prototypes": 1024, "head_hidden": 512, "num_local": 2, "ema": (0.97, 1.0), "freeze_prototypes": 0,
        "teacher_warmup": 0.3, "drop_path": 0.0, "final_weight_decay": None, "interpolation": "bilinear",
    },
    "VICReg": {"projector_dim": 512},
    "BarlowTwins": {"projector_dim": 512, "loss_scale": 1.0, "interpolation": "bilinear"},
    "LeJEPA": {
        "projector_hidden": 512, "num_local": 2, "crop_scale": (0.4, 1.0), "local_crop_scale": (0.05, 0.4),
    },
}  # fmt: skip
# side of the images and of the patches
SIZES = {"shapes": (48, 6), "digits": (32, 4)}


def build_data(name: str, batch_size: int, num_workers: int) -> JEPADataModule:
    """A built-in data set by the name that ``SIZES`` has for it."""
    built_in = {"shapes": ShapesDataModule, "digits": DigitsDataModule}
    return built_in[name](batch_size=batch_size, num_workers=num_workers)


def build_method(name: str, image_size: int, patch_size: int, **changed: Any) -> JEPAModule:
    """A method with its small heads.

    Args:
        name: of its class.
        image_size: side of the views in pixels.
        patch_size: side of the patches in pixels.
        changed: options over those above.
    """
    options = ENCODER | OPTIONS[name] | {"image_size": image_size, "patch_size": patch_size} | changed
    module: JEPAModule = getattr(jepa_lightning, name)(**options)
    return module
