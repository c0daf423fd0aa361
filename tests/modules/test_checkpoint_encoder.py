from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, Classifier, SimCLR, WorldModel
from jepa_lightning.checkpoints import MADE_BY
from jepa_lightning.modules.checkpoint_encoder import (
    CheckpointEncoder,
    UnknownMethodError,
    method_options,
    module_from_checkpoint,
)
from jepa_lightning.modules.frozen_encoder import FrozenEncoder

SMALL: dict[str, Any] = {"encoder": "vit_tiny", "width": 24, "depth": 1, "heads": 3, "patch_size": 8}
CLASSIFIER, WORLD = "jepa_lightning.modules.classifier.Classifier", "jepa_lightning.modules.world_model.WorldModel"
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path, quiet_trainer: Any) -> Save:
    def write(module: Any, name: str = "run.ckpt", **changed: Any) -> Path:
        module.trainer = quiet_trainer()
        module.trainer.strategy.connect(module)
        module.trainer.save_checkpoint(tmp_path / name)
        if changed:
            checkpoint = torch.load(tmp_path / name, weights_only=False)
            torch.save({**checkpoint, **changed}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def ijepa(tiny_ijepa: Any) -> IJEPA:
    """One of views that are no squares, whose target is another network than the context encoder."""
    module: IJEPA = tiny_ijepa(image_size=(32, 64), mean=[0.1, 0.2, 0.3])
    with torch.no_grad():
        for parameter in module.target_encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def test_it_is_the_target_of_the_checkpoint_and_says_what_it_takes(ijepa: IJEPA, save: Save) -> None:
    encoder = CheckpointEncoder.from_checkpoint(save(ijepa)).eval()
    view = torch.randn(1, 3, 32, 64)
    expected = ijepa.target_encoder.eval()
    assert torch.equal(encoder(view), expected(view))
    assert not torch.equal(encoder(view), ijepa.context_encoder.eval()(view))
    for found, other in zip(encoder(view, layers=[0, -1]), expected(view, layers=[0, -1]), strict=True):
        assert torch.equal(found, other)
    assert (encoder.width, encoder.grid_size, encoder.patch, encoder.in_channels) == (48, (4, 8), (8, 8), 3)
    assert (encoder.mean, encoder.std, encoder.image_size) == (ijepa.mean, ijepa.std, (32, 64))
    assert encoder.sampler is None
    assert IJEPA.load_from_checkpoint(save(ijepa)).target_encoder.patch_embed.proj.weight.requires_grad is False


def test_it_trains_what_the_method_trained(ijepa: IJEPA) -> None:
    encoder = CheckpointEncoder("jepa_lightning.modules.ijepa.IJEPA", method_options(ijepa))
    trained = {name for name, parameter in ijepa.context_encoder.named_parameters() if parameter.requires_grad}
    assert {name for name, each in encoder.network.named_parameters() if each.requires_grad} == trained
    encoder(torch.randn(2, 3, 32, 64)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (CLASSIFIER, {**SMALL, "image_size": 32, "freeze": True, "num_classes": 2}),
        (WORLD, {**SMALL, "image_size": 32, "in_channels": 3, "freeze_encoder": True}),
    ],
)
def test_an_encoder_that_a_method_had_frozen_is_trained(method: str, options: dict[str, Any]) -> None:
    classifier = Classifier(CheckpointEncoder(method, options), num_classes=3)
    assert all(parameter.requires_grad for parameter in classifier.encoder.parameters())
    groups = {id(parameter) for group in classifier.optimizer_groups() for parameter in group["params"]}
    assert {id(parameter) for parameter in classifier.encoder.parameters()} <= groups
    assert classifier.encoder.hparams["options"] == options
    assert not any(parameter.requires_grad for parameter in FrozenEncoder(method, options).parameters())


def test_a_classifier_that_was_linear_is_trained_whole(save: Save) -> None:
    path = save(Classifier(**SMALL, image_size=32, freeze=True, num_classes=2))
    free, frozen = Classifier(str(path), num_classes=2), Classifier(str(path), num_classes=2, freeze=True)
    assert {parameter.requires_grad for parameter in free.encoder.parameters()} == {True}
    assert {parameter.requires_grad for parameter in frozen.encoder.parameters()} == {False}


def test_a_frozen_encoder_within_is_not_trained_in_silence() -> None:
    frozen = FrozenEncoder(CLASSIFIER, {**SMALL, "image_size": 32, "num_classes": 2})
    with pytest.raises(ValueError, match=r"^freeze is False, and .*FrozenEncoder has no weights to train[^\n]*$"):
        Classifier(frozen, num_classes=2)
    assert Classifier(frozen, num_classes=2, freeze=True).is_frozen


def test_options_take_the_place_of_those_in_the_checkpoint(save: Save) -> None:
    module = SimCLR(**SMALL, image_size=32, drop_path=0.1)
    path = save(module)
    encoder = CheckpointEncoder.from_checkpoint(path, image_size=64, drop_path=0.2)
    assert encoder.grid_size == (8, 8)
    assert (encoder.hparams["options"]["image_size"], encoder.hparams["options"]["drop_path"]) == (64, 0.2)
    assert torch.equal(encoder.network.patch_embed.proj.weight, module.encoder.patch_embed.proj.weight)
    found = module_from_checkpoint(path, lr=0.5)
    assert type(found) is SimCLR
    assert found.lr == 0.5


def test_options_are_without_entries_of_the_command_line_and_downloads() -> None:
    module = SimCLR("timm:test_resnet", image_size=32)
    module.hparams.update(_class_path="x", pretrained=True)
    options = method_options(module)
    assert options["pretrained"] is False
    assert options["encoder"] == "timm:test_resnet"
    assert "_class_path" not in options
    del module.hparams["pretrained"]
    assert "pretrained" not in method_options(module)


def test_checkpoints_of_no_method_that_is_known_are_refused(save: Save, tmp_path: Path) -> None:
    module = SimCLR(**SMALL, image_size=32)
    with pytest.raises(UnknownMethodError, match=r"of the method theirs\.Method, .*: import theirs first\.$") as found:
        module_from_checkpoint(save(module, "theirs.ckpt", **{MADE_BY: "theirs.Method"}))
    assert found.value.path == "theirs.Method"
    with pytest.raises(ValueError, match=r"nameless\.ckpt does not say which method it is of: save it again"):
        module_from_checkpoint(save(module, "nameless.ckpt", **{MADE_BY: None}))
    for path in ("torch.nn.Linear", "SimCLR", ""):
        with pytest.raises(UnknownMethodError):
            CheckpointEncoder(path, {})
    with pytest.raises(FileNotFoundError):
        CheckpointEncoder.from_checkpoint(tmp_path / "none.ckpt")


def test_a_world_model_on_a_finished_run_has_nothing_to_train(ijepa: IJEPA, save: Save) -> None:
    world = WorldModel(str(save(ijepa)), image_size=32, in_channels=3, num_frames=4, rollout_steps=2)
    with pytest.raises(ValueError, match="has no weights to train"):
        Classifier(str(save(world, "world.ckpt")), num_classes=2)
