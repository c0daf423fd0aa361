"""Defaults of each method against the numbers of its paper, and against the paper's rule for the learning rate."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest

from jepa_lightning import (
    BYOL,
    DINO,
    IJEPA,
    MAE,
    VJEPA,
    BarlowTwins,
    JEPAModule,
    LeJEPA,
    MoCo,
    SimCLR,
    SimSiam,
    VICReg,
    WorldModel,
    modules,
)
from jepa_lightning.modules.joint_embedding import JointEmbedding

LARS = {"optimizer": "lars", "start_lr": 0.0, "final_weight_decay": None}
SGD = {"optimizer": "momentum", "start_lr": 0.0, "final_lr": 0.0, "weight_decay": 1e-4, "warmup": 0}
ADAMW = {"optimizer": "adamw", "betas": None}
JEPA = ADAMW | {"start_lr": 2e-4, "final_lr": 1e-6, "weight_decay": 0.04, "final_weight_decay": 0.4}

PAPERS: dict[type[JEPAModule], dict[str, Any]] = {
    # arXiv 2301.08243, appendix A.1, ViT-B/16; warm-up and learning rates: the authors' configuration in1k_vith14_ep300
    IJEPA: {
        **JEPA, "encoder": "vit_base", "patch_size": 16, "image_size": 224, "lr": 1e-3, "warmup": 40 / 300,
        "ema": (0.996, 1.0), "ema_schedule": "linear", "schedule_stretch": 1.0, "predictor_depth": 6,
        "predictor_dim": 384, "num_targets": 4, "target_scale": (0.15, 0.2), "context_scale": (0.85, 1.0),
        "aspect_ratio": (0.75, 1.5), "min_keep": 10, "crop_scale": (0.3, 1.0), "normalize_targets": True,
    },
    # arXiv 2404.08471, table of the appendix, ViT-L/16: 12,000 of 90,000 steps of warm-up, a schedule 1.25 times as
    # long
    VJEPA: {
        **JEPA, "encoder": "vit_large", "patch_size": 16, "image_size": 224, "num_frames": 16, "tubelet_size": 2,
        "frame_step": 4, "lr": 6.25e-4, "warmup": 12_000 / 90_000, "schedule_stretch": 1.25,
        "ema": (0.998, 0.998 + (1.0 - 0.998) / 1.25), "ema_schedule": "linear", "predictor_depth": 12,
        "predictor_dim": 384, "num_blocks": (8, 2), "spatial_scale": (0.15, 0.7), "aspect_ratio": (0.75, 1.5),
        "crop_scale": (0.3, 1.0), "distance": "l1",
    },
    # arXiv 2111.06377, table 8 and appendix A.1
    MAE: {
        **ADAMW, "encoder": "vit_base", "patch_size": 16, "lr": 1.5e-4 * 4096 / 256, "betas": (0.9, 0.95),
        "start_lr": 0.0, "final_lr": 0.0, "weight_decay": 0.05, "final_weight_decay": None, "warmup": 40 / 800,
        "mask_ratio": 0.75, "decoder_depth": 8, "decoder_dim": 512, "decoder_heads": 16, "normalize_pixels": True,
        "crop_scale": (0.2, 1.0), "interpolation": "bicubic", "init": "xavier",
    },
    # arXiv 2002.05709, section 2.2
    SimCLR: {
        **LARS, "encoder": "resnet50", "lr": 0.3 * 4096 / 256, "final_lr": 0.0, "weight_decay": 1e-6, "warmup": 10 /
        100, "temperature": 0.1, "projector_hidden": 2048, "projector_dim": 128,
    },
    # arXiv 2006.07733, section 3.2
    BYOL: {
        **LARS, "encoder": "resnet50", "lr": 0.2 * 4096 / 256, "final_lr": 0.0, "weight_decay": 1.5e-6,
        "warmup": 10 / 1000, "ema": (0.996, 1.0), "ema_schedule": "cosine", "projector_hidden": 4096,
        "projector_dim": 256,
    },
    # arXiv 2103.03230, section 2.2
    BarlowTwins: {
        **LARS, "encoder": "resnet50", "lr": 0.2 * 2048 / 256, "final_lr": 0.2 * 2048 / 256 / 1000,
        "weight_decay": 1.5e-6, "warmup": 10 / 1000, "projector_dim": 8192, "off_diagonal": 0.0051,
        "loss_scale": 0.0048 / 0.2,
    },
    # arXiv 2105.04906, section 4.2
    VICReg: {
        **LARS, "encoder": "resnet50", "lr": 0.2 * 2048 / 256, "final_lr": 0.2 * 2048 / 256 / 1000, "weight_decay":
        1e-6, "warmup": 10 / 1000, "projector_dim": 8192, "invariance": 25.0, "variance": 25.0, "covariance": 1.0,
    },
    # arXiv 2011.10566, section 3
    SimSiam: {
        **SGD, "encoder": "resnet50", "lr": 0.05 * 512 / 256, "projector_dim": 2048, "predictor_hidden": 512,
        "constant_predictor_lr": True,
    },
    # arXiv 2104.14294, section 3.2 and appendix; crops and stochastic depth: the authors' code
    DINO: {
        **ADAMW, "encoder": "vit_small", "patch_size": 16, "lr": 5e-4 * 1024 / 256, "start_lr": 0.0, "final_lr": 1e-6,
        "weight_decay": 0.04, "final_weight_decay": 0.4, "warmup": 10 / 800, "ema": (0.996, 1.0),
        "ema_schedule": "cosine", "drop_path": 0.1, "num_local": 8,
        "num_prototypes": 65536, "head_hidden": 2048, "bottleneck_dim": 256,
        "student_temperature": 0.1, "teacher_temperature": (0.04, 0.07), "teacher_warmup": 30 / 800,
        "center_momentum": 0.9,
    },
    # arXiv 2511.08544 and the authors' README
    LeJEPA: {
        **ADAMW, "encoder": "vit_small", "lr": 5e-4, "start_lr": 0.0, "final_lr": 5e-7, "weight_decay": 0.05,
        "final_weight_decay": None, "num_local": 6, "num_directions": 1024, "num_knots": 17,
    },
    # arXiv 2602.03604, two rooms: the authors' configuration
    WorldModel: {
        **ADAMW, "encoder": "impala", "predictor": "gru", "image_size": 65, "in_channels": 2, "num_frames": 17,
        "action_size": 2, "rollout_steps": 8, "distance": "l2", "detach_target": False, "rollout_gradient": True,
        "variance": 16.0, "covariance": 8.0, "similarity": 12.0, "inverse": 1.0, "inverse_hidden": 256, "sigreg": 0.0,
        "lr": 1e-3, "start_lr": 0.0, "final_lr": 1e-5, "weight_decay": 1e-5, "final_weight_decay": None, "warmup": 0.1,
    },
}  # fmt: skip

# of which jitter is brightness, contrast, saturation and hue
VIEWS: dict[str, list[dict[str, Any]]] = {
    "SimCLR": [{"jitter": (0.8, 0.8, 0.8, 0.2), "blur": 0.5, "crop_scale": (0.08, 1.0)}] * 2,
    "BYOL": [{"blur": 1.0, "solarize": 0.0}, {"blur": 0.1, "solarize": 0.2}],
    "BarlowTwins": [{"blur": 1.0, "solarize": 0.0}, {"blur": 0.1, "solarize": 0.2}],
    "DINO": [
        {"blur": 1.0, "solarize": 0.0, "crop_scale": (0.4, 1.0)},
        {"blur": 0.1, "solarize": 0.2, "crop_scale": (0.4, 1.0)},
        {"blur": 0.5, "solarize": 0.0, "crop_scale": (0.05, 0.4)},
    ],
    "LeJEPA": [
        {"blur": 0.5, "solarize": 0.2, "crop_scale": (0.3, 1.0)},
        {"blur": 0.5, "solarize": 0.2, "crop_scale": (0.3, 1.0)},
        {"blur": 0.5, "solarize": 0.2, "crop_scale": (0.05, 0.3)},
    ],
    "VICReg": [{"blur": 0.5, "solarize": 0.1}] * 2,
    "MoCo v2": [{"jitter": (0.4, 0.4, 0.4, 0.1), "crop_scale": (0.2, 1.0), "blur": 0.5}] * 2,
    "MoCo v3": [{"blur": 1.0, "solarize": 0.0}, {"blur": 0.1, "solarize": 0.2}],
    "SimSiam": [{"jitter": (0.4, 0.4, 0.4, 0.1), "crop_scale": (0.2, 1.0), "blur": 0.5}] * 2,
}
BICUBIC = ("BYOL", "BarlowTwins", "DINO", "MAE")


def defaults(cls: type) -> dict[str, Any]:
    """The default of each option, from wherever in the bases it is declared last."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= {name: each.default for name, each in inspect.signature(base.__init__).parameters.items()}
    return found


@pytest.mark.parametrize(("cls", "paper"), PAPERS.items(), ids=[cls.__name__ for cls in PAPERS])
def test_defaults_are_the_papers(cls: type[JEPAModule], paper: dict[str, Any]) -> None:
    ours = defaults(cls)
    assert {name: ours[name] for name in paper} == {
        name: pytest.approx(value) if isinstance(value, (float, tuple)) else value for name, value in paper.items()
    }


@pytest.mark.parametrize(
    ("version", "paper"),
    [
        # arXiv 2003.04297 and 1911.05722, section 3.3
        ("v2", SGD | {"lr": 0.03 * 256 / 256, "ema": (0.999, 0.999), "temperature": 0.2}),
        # arXiv 2104.02057, section 4.3, Vision Transformers
        (
            "v3",
            {
                "optimizer": "adamw", "lr": 1.5e-4 * 4096 / 256, "weight_decay": 0.1, "warmup": 40 / 300,
                "final_lr": 0.0, "ema": (0.99, 1.0), "ema_schedule": "cosine", "temperature": 0.2,
            },
        ),
    ],
)  # fmt: skip
def test_defaults_of_both_mocos_are_the_papers(
    tiny_method: Callable[..., JEPAModule], version: str, paper: dict[str, Any]
) -> None:
    model = tiny_method(f"MoCo {version}")
    ours = {"optimizer": model.optimizer_name} | {name: getattr(model, name) for name in paper if name != "optimizer"}
    assert ours == {name: pytest.approx(value) if isinstance(value, float) else value for name, value in paper.items()}
    given = tiny_method(f"MoCo {version}", lr=0.5, warmup=3, weight_decay=0.0, optimizer="lars", ema=(0.5, 0.6))
    assert (given.lr, given.warmup, given.weight_decay, given.optimizer_name) == (0.5, 3, 0.0, "lars")
    assert given.ema == (0.5, 0.6)


def test_no_method_is_left_out() -> None:
    methods = {each for each in map(modules.__dict__.get, modules.__all__) if getattr(each, "traits", None)}
    assert methods == {*PAPERS, MoCo}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_the_papers(tiny_method: Callable[..., JEPAModule], name: str) -> None:
    model = tiny_method(name)
    assert isinstance(model, JointEmbedding)
    views = model.augmentations()
    assert [
        {key: getattr(view, key) for key in paper} for view, paper in zip(views, VIEWS[name], strict=True)
    ] == VIEWS[name]
    assert {view.interpolation for view in views} == {"bicubic" if name in BICUBIC else "bilinear"}


def test_bicubic_reaches_the_views_of_training_and_evaluation(
    every_method: Callable[..., JEPAModule],
) -> None:
    model = every_method()
    for chosen in (model, every_method(interpolation="bilinear"), every_method(interpolation="bicubic")):
        pipeline = chosen.pipeline()
        expected = chosen.hparams["interpolation"] or ("bicubic" if type(model).__name__ in BICUBIC else "bilinear")
        for transform in (pipeline.transform, pipeline.eval_transform):
            text = str(transform).lower()
            assert text.count("bicubic") == (text.count("antialias=true") + text.count("_covercrop")) * (
                expected == "bicubic"
            )


def test_the_end_of_v_jepas_ema_is_that_of_its_learning_rate() -> None:
    start, end = defaults(VJEPA)["ema"]
    assert math.isclose(end, start + (1 - start) / defaults(VJEPA)["schedule_stretch"])
