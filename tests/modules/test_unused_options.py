"""Options without effect are refused by name; the other half of each case says where the option has an effect."""

from collections.abc import Callable
from typing import Any

import pytest

from jepa_lightning import IJEPA, VJEPA, JEPAModule, SimCLR
from jepa_lightning.modules.unused_options import refuse_unused

ENCODER = {"encoder": "vit_tiny", "width": 24, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}
SIZES = {**ENCODER, "predictor_depth": 1, "predictor_dim": 24, "min_keep": 2}
CAUSAL = {"num_blocks": (), "spatial_scale": (), "causal_frames": (1, 2)}
WITHOUT_TARGET = ("SimCLR", "SimSiam", "MAE", "VICReg", "BarlowTwins", "LeJEPA")


@pytest.mark.parametrize("name", WITHOUT_TARGET)
@pytest.mark.parametrize("option", [{"ema": (0.1, 0.2)}, {"ema": [0.1, 0.2]}, {"ema_schedule": "cosine"}])
def test_a_method_without_target_refuses_an_ema(
    tiny_method: Callable[..., JEPAModule], name: str, option: dict[str, Any]
) -> None:
    (given,) = option
    with pytest.raises(ValueError, match=f"{name}: {given}=.* has no effect, since the method has no EMA target"):
        tiny_method(name, **option)
    tiny_method(name, ema=[0.996, 1.0], ema_schedule="linear")  # as checkpoints have them


@pytest.mark.parametrize("name", ["BYOL", "MoCo v2", "MoCo v3", "DINO"])
def test_a_method_with_a_target_takes_one(tiny_method: Callable[..., JEPAModule], name: str) -> None:
    assert tiny_method(name, ema=(0.1, 0.2), ema_schedule="linear").ema == (0.1, 0.2)


@pytest.mark.parametrize(
    ("option", "with_effect", "reason"),
    [
        ({"sigreg": 0.1}, {"regularizer": "sigreg"}, "regularizer is None"),
        ({"uniformity": 0.5}, {"regularizer": "uniformity"}, "regularizer is None"),
        ({"projector_dim": 8}, {"regularizer": "uniformity"}, "regularizer is None"),
        ({"variance": 2.0}, {"regularizer": "variance_covariance"}, "content is 0"),
        ({"variance": 2.0}, {"content": 1.0}, "content is 0"),
        ({"covariance": 2.0}, {"content": 1.0}, "content is 0"),
    ],
)
def test_i_jepa(option: dict[str, Any], with_effect: dict[str, Any], reason: str) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=rf"IJEPA: {name}=.* has no effect, since {reason}: leave it out\."):
        IJEPA(**SIZES, **option)
    IJEPA(**SIZES, **option, **with_effect)


@pytest.mark.parametrize(
    ("option", "without_effect", "reason"),
    [
        ({"rope_style": "vjepa2"}, {"rope": False}, "rope is False"),
        ({"uniform_power": False}, {"rope": True}, "rope is True"),
        ({"frame_step": 2}, {"fps": 4}, "fps is given"),
        ({"loss_exponent": 2.0}, {"distance": "l2"}, "only the distance l1 has one"),
        ({"aspect_ratio": (1.0, 1.0)}, CAUSAL, "num_blocks is empty"),
        ({"legacy_masks": True}, CAUSAL, "num_blocks is empty"),
        ({"tubelet_size": 4}, {"num_frames": 1}, "num_frames is 1"),
    ],
)
def test_v_jepa(option: dict[str, Any], without_effect: dict[str, Any], reason: str) -> None:
    (name,) = option
    sizes = {**SIZES, "num_frames": 8, "rope": name == "rope_style"}
    with pytest.raises(ValueError, match=f"VJEPA: {name}=.* has no effect, since {reason}"):
        VJEPA(**{**sizes, **option, **without_effect})
    VJEPA(**{**sizes, **option})


@pytest.mark.parametrize(
    ("method", "option", "without_effect"),
    [
        ("DINO", {"center_momentum": 0.3}, {"assignment": "sinkhorn"}),
        ("DINO", {"local_size": 16}, {"num_local": 0, "center_momentum": 0.9}),
        ("LeJEPA", {"local_crop_scale": (0.1, 0.2)}, {"num_local": 0}),
    ],
)
def test_views_and_assignments(
    tiny_method: Callable[..., JEPAModule], method: str, option: dict[str, Any], without_effect: dict[str, Any]
) -> None:
    (name,) = option
    tiny_method(method, **option)
    with pytest.raises(ValueError, match=f"{method}: {name}=.* has no effect"):
        tiny_method(method, **{**option, **without_effect})


def test_mocos_queue(tiny_method: Callable[..., JEPAModule]) -> None:
    with pytest.raises(ValueError, match="MoCo: queue_size=16 has no effect, since version v3 has no queue"):
        tiny_method("MoCo v3", queue_size=16)
    assert len(tiny_method("MoCo v2", queue_size=16).queue.keys) == 16


def test_a_network_without_blocks_cannot_be_compiled() -> None:
    model = SimCLR("resnet18", image_size=32, compile=True)
    with pytest.raises(ValueError, match="SimCLR: compile=True has no effect, since there are no transformer blocks"):
        model.configure_model()


def test_a_default_of_a_subclass_counts() -> None:
    class Base:
        def __init__(self, a: int = 1) -> None: ...

    class Other(Base):
        def __init__(self, a: int = 2) -> None: ...

    refuse_unused(Other, {"a": "of a reason"}, {"a": 2})
    with pytest.raises(ValueError, match="Other: a=1 has no effect, since of a reason: leave it out"):
        refuse_unused(Other, {"a": "of a reason"}, {"a": 1})


def test_another_optimizer_wants_a_learning_rate_of_its_own() -> None:
    tiny = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}
    with pytest.raises(ValueError, match=r"SimCLR: lr=4\.8 is the default for optimizer lars, .* give lr too"):
        SimCLR(**tiny, optimizer="adamw")
    SimCLR(**tiny, optimizer="adamw", lr=1e-3)
