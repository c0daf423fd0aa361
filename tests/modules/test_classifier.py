import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.nn import functional as F
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA, VJEPA, Classifier
from jepa_lightning.callbacks import OnlineKNN
from jepa_lightning.modules.checkpoint_encoder import CheckpointEncoder
from jepa_lightning.probing.label_kinds import ClassLabel, TagLabel, ValueLabel
from jepa_lightning.types import Batch

TINY: dict[str, Any] = {"encoder": "vit_tiny", "width": 48, "depth": 3, "heads": 3, "image_size": 32, "patch_size": 8}


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_ijepa: Any, quiet_trainer: Any, shapes: Any) -> tuple[IJEPA, Path]:
    module = tiny_ijepa()
    trainer = quiet_trainer(max_steps=1, limit_val_batches=0)
    trainer.fit(module, datamodule=shapes())
    trainer.save_checkpoint(tmp_path / "ijepa.ckpt")
    return module, tmp_path / "ijepa.ckpt"


def batch_of(labels: Any, size: int = 8) -> Batch:
    torch.manual_seed(1)
    return Batch([torch.randn(size, 3, 32, 32)], labels=labels)


def fitted(quiet_trainer: Any, classifier: Classifier, shapes: Any, **options: Any) -> Any:
    trainer = quiet_trainer(max_steps=4, **options)
    trainer.fit(classifier, datamodule=shapes())
    return trainer


def test_outputs_tokens_and_maps_have_their_shapes() -> None:
    classifier = Classifier(**TINY, num_classes=5).eval()
    images = torch.randn(2, 3, 32, 32)
    assert classifier(images).shape == (2, 5)
    assert classifier(images, pool=True).shape == (2, 48)
    assert classifier.forward_features(images).shape == (2, 16, 48)
    maps = classifier.feature_maps(images, layers=[0, -1])
    assert [tuple(each.shape) for each in maps] == [(2, 48, 4, 4)] * 2
    torch.testing.assert_close(maps[1].flatten(2).transpose(1, 2), classifier.forward_features(images))
    assert classifier.feature_info(images) == [{"num_chs": 48, "reduction": 8}] * 3


def test_maps_of_a_convolutional_network_are_those_of_timm() -> None:
    classifier = Classifier("timm:resnet18", num_classes=2, image_size=(64, 96)).eval()
    images = torch.randn(1, 3, 64, 96)
    maps = classifier.feature_maps(images)
    expected = classifier.encoder.model.forward_intermediates(images, intermediates_only=True)[-4:]
    for found, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, other)
    assert [info["reduction"] for info in classifier.feature_info(images)] == [4, 8, 16, 32]


def test_a_checkpoint_is_the_encoder_and_the_classifier_loads_without_it(
    checkpoint: Any, quiet_trainer: Any, shapes: Any, tmp_path: Path
) -> None:
    module, path = checkpoint
    classifier = Classifier(str(path), head="attentive", freeze=True)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(classifier(images, pool=True), module(images))
    assert classifier.image_size == (32, 32)
    trainer = fitted(quiet_trainer, classifier, shapes)
    torch.testing.assert_close(classifier(images, pool=True), module(images), msg="the encoder is frozen")
    trainer.save_checkpoint(tmp_path / "classifier.ckpt")
    path.unlink()
    loaded = Classifier.load_from_checkpoint(tmp_path / "classifier.ckpt").eval()
    found, expected = loaded(images), classifier.eval()(images)
    assert found["color"].shape == (2, 8)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_the_encoder_trains_unless_it_is_frozen(checkpoint: Any) -> None:
    free, frozen = (
        Classifier(str(checkpoint[1]), num_classes=3),
        Classifier(str(checkpoint[1]), num_classes=3, freeze=True),
    )
    assert not any(parameter.requires_grad for parameter in frozen.encoder.parameters())
    still = [name for name, parameter in free.encoder.named_parameters() if not parameter.requires_grad]
    assert still == []
    assert not frozen.train().encoder.training
    assert free.train().encoder.training


def test_another_image_size_and_drop_path_are_set_in_the_method(checkpoint: Any) -> None:
    classifier = Classifier(str(checkpoint[1]), num_classes=3, image_size=48, drop_path=0.5)
    assert classifier.encoder.grid_size == (6, 6)
    assert isinstance(classifier.encoder, CheckpointEncoder)
    assert classifier.encoder.hparams["options"]["drop_path"] == 0.5
    built = {"class_path": "jepa_lightning.modules.checkpoint_encoder.CheckpointEncoder"}
    built["init_args"] = dict(classifier.encoder.hparams)
    assert Classifier(built, num_classes=3, drop_path=0.5).encoder.hparams == classifier.encoder.hparams
    for encoder in (built, classifier.encoder):
        with pytest.raises(ValueError, match=r"^Classifier: drop_path=0\.25 has no effect [^\n]*with 0\.5: give it"):
            Classifier(encoder, num_classes=3, drop_path=0.25)


def test_an_encoder_of_clips_is_shown_clips(tmp_path: Path) -> None:
    module = VJEPA(
        "vit_tiny", image_size=32, patch_size=8, num_frames=4, depth=2, predictor_depth=1, predictor_dim=96, min_keep=4
    )
    encoder = CheckpointEncoder("jepa_lightning.modules.vjepa.VJEPA", dict(module.hparams))
    classifier = Classifier(encoder, num_classes=4).eval()
    pipeline = classifier.pipeline()
    batch = pipeline.collate([(pipeline.transform(torch.zeros(9, 3, 40, 40, dtype=torch.uint8)), 1)] * 2)
    assert classifier(batch.views[0]).shape == (2, 4)
    assert classifier.feature_maps(batch.views[0], [-1])[0].shape == (2, 192, 2, 4, 4)


@pytest.mark.parametrize("options", [{}, {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1, "head": "attentive"}])
def test_it_learns_all_labels_and_a_run_repeats(quiet_trainer: Any, shapes: Any, options: Any) -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        trainer = fitted(quiet_trainer, Classifier(**TINY, **options), shapes)
        found.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert found[0] == found[1]
    assert {"train/loss", "val/loss", "val/shape_accuracy", "val/count_accuracy"} <= found[0].keys()


def test_the_loss_is_that_of_torch_for_each_kind() -> None:
    sizes = {"kind": 3, "size": 2, "tags": 4}
    classifier = Classifier(**TINY, num_classes=sizes).eval()
    torch.nn.init.normal_(classifier.head.heads.heads[0].weight)
    labels = {
        "kind": torch.tensor([0, 1, 2, -1, 0, 1, 2, 0]),
        "size": torch.randn(8, 2),
        "tags": torch.randint(0, 2, (8, 4)),
    }
    labels["size"][3] = math.nan
    batch = batch_of(labels)
    outputs, loss = classifier(batch.views[0]), classifier.objective(batch, 0.0).loss
    expected = (
        F.cross_entropy(outputs["kind"], labels["kind"], ignore_index=-1)
        + (outputs["size"] - labels["size"]).square()[torch.arange(8) != 3].mean()
        + F.binary_cross_entropy_with_logits(outputs["tags"], labels["tags"].float())
    )
    torch.testing.assert_close(loss, expected)


def test_values_are_learned_in_their_own_units(quiet_trainer: Any) -> None:
    images = torch.rand(64, 3, 32, 32) * torch.linspace(0, 2, 64)[:, None, None, None]
    samples = [(image, 1000 + 50 * float(image.mean())) for image in images]
    torch.manual_seed(0)
    classifier = Classifier(**TINY, num_classes=1, lr=5e-3, flip=0)
    loader = DataLoader(samples, 16, collate_fn=classifier.pipeline().collate)
    quiet_trainer(max_steps=60).fit(classifier, loader)
    [found] = quiet_trainer().validate(classifier, loader)
    assert found["val/r2"] > 0.5
    assert 900 < classifier.eval()(images[:1]).item() < 1200


def test_learning_rates_fall_from_layer_to_layer() -> None:
    classifier = Classifier(**TINY, num_classes=2, layer_decay=0.5, lr=1.0)
    groups = {group["name"]: group for group in classifier.optimizer_groups()}
    assert {name: group["lr"] for name, group in groups.items() if "no_decay" not in name} == {
        "head": 1.0, "layer_3": 0.5, "layer_2": 0.25, "layer_1": 0.125, "layer_0": 0.0625
    }  # fmt: skip
    owner = {id(p): name for name, group in groups.items() for p in group["params"]}
    names = {name: owner.get(id(p)) for name, p in classifier.named_parameters()}
    assert names["encoder.blocks.0.attn.qkv.weight"] == "layer_1"
    assert names["encoder.patch_embed.proj.weight"] == "layer_0"
    assert names["encoder.norm.weight"] == "layer_3-no_decay"
    assert sum(len(group["params"]) for group in groups.values()) == sum(
        p.requires_grad for p in classifier.parameters()
    )


def test_learning_rates_of_timm_networks_fall_by_timms_own_layers() -> None:
    from timm.optim import param_groups_layer_decay

    classifier = Classifier("timm:resnet18", num_classes=2, layer_decay=0.5, lr=1.0)
    found = {id(p): group["lr"] for group in classifier.optimizer_groups() for p in group["params"]}
    expected = param_groups_layer_decay(classifier.encoder.model, layer_decay=0.5)
    # timm's last layer has the rate of the head, ours half of it
    assert all(found[id(p)] == group["lr_scale"] * 0.5 for group in expected for p in group["params"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": True, "layer_decay": 0.5}, "the encoder is frozen"),
        ({"head_depth": 2}, "only an attentive head has blocks"),
        ({"layer_decay": 0.0}, "out of range"),
        ({"ema": (0.9, 1.0)}, "the method has no EMA target"),
    ],
)
def test_options_without_an_effect_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(**TINY, num_classes=2, **options)


def test_labels_that_do_not_fit_are_refused() -> None:
    classifier = Classifier(**TINY, num_classes=2)
    with pytest.raises(ValueError, match="a sample of class 2: classes run from 0 to 1"):
        classifier.objective(batch_of(torch.arange(8) % 3), 0.0)
    with pytest.raises(ValueError, match="has 2 outputs for a label without a name"):
        Classifier(**TINY, num_classes=2).objective(batch_of(torch.randn(8, 3)), 0.0)
    with pytest.raises(ValueError, match="the batch has the label\\(s\\) shape"):
        classifier.objective(batch_of({"shape": torch.zeros(8).long()}), 0.0)


def test_an_unknown_number_of_classes_is_refused(quiet_trainer: Any) -> None:
    classifier = Classifier(**TINY)
    loader = DataLoader([(torch.randn(3, 32, 32), 1)] * 8, 4, collate_fn=classifier.pipeline().collate)
    with pytest.raises(MisconfigurationException, match="set num_classes"):
        quiet_trainer(max_steps=1).fit(classifier, loader)


@pytest.mark.parametrize("kind", [ClassLabel(3), ValueLabel(2), TagLabel(2)])
def test_a_mixed_loss_is_the_share_of_each(kind: Any) -> None:
    from jepa_lightning.modules.label_mixing import label_loss

    torch.manual_seed(0)
    targets = {
        ClassLabel: torch.tensor([0, 2]),
        ValueLabel: torch.randn(2, 2),
        TagLabel: torch.tensor([[0, 1], [1, 1]]),
    }
    target, outputs = targets[type(kind)], torch.randn(2, kind.size)
    assert label_loss(kind, outputs, target, torch.eye(2)).item() == pytest.approx(
        label_loss(kind, outputs, target).item()
    )
    shares = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    found = label_loss(kind, outputs, target, shares)
    if isinstance(kind, ValueLabel):
        expected = (outputs - shares @ target).square().mean()
    else:  # linear in the target
        own, other = (label_loss(kind, outputs, each) for each in (target, target.flip(0)))
        expected = 0.7 * own + 0.3 * other
    torch.testing.assert_close(found, expected)


def test_mixing_draws_from_torch_and_leaves_numpy_alone() -> None:
    import numpy as np

    from jepa_lightning.modules.label_mixing import LabelMixing

    images = torch.randn(4, 3, 8, 8)
    before, kept = np.random.get_state()[1].copy(), images.clone()  # noqa: NPY002
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(LabelMixing(1.0, 0.0)(images))
    assert torch.equal(found[0][0], found[1][0])
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(images, kept)
    torch.testing.assert_close(torch.einsum("bc,cxyz->bxyz", found[0][1], images), found[0][0])
    with pytest.raises(ValueError, match="give an even one"):
        LabelMixing(1.0, 0.0)(images[:3])


def test_randaugment_is_for_images_of_3_channels(tiny_vjepa: Any) -> None:
    refused = "randaugment=9 is for images of 3 channels, and the encoder takes "
    with pytest.raises(ValueError, match=f"{refused}4 channels"):
        Classifier(**TINY, num_classes=2, randaugment=9.0, in_channels=4)
    clips = CheckpointEncoder(f"{VJEPA.__module__}.VJEPA", dict(tiny_vjepa().hparams))
    with pytest.raises(ValueError, match=f"{refused}clips"):
        Classifier(clips, num_classes=2, randaugment=9.0)


def test_it_starts_from_weights_that_are_given(quiet_trainer: Any, shapes: Any, tmp_path: Path) -> None:
    labels = shapes().num_classes
    first = Classifier(**TINY, num_classes=labels, freeze=True)
    trainer = fitted(quiet_trainer, first, shapes, limit_val_batches=0)
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    second = Classifier(**TINY, num_classes=labels, freeze=True, start_from=str(tmp_path / "first.ckpt"))
    assert not torch.equal(second.encoder.patch_embed.proj.weight, first.encoder.patch_embed.proj.weight)
    fitted(quiet_trainer, second, shapes, limit_val_batches=0)
    assert torch.equal(second.encoder.patch_embed.proj.weight, first.encoder.patch_embed.proj.weight)


def test_nearest_neighbors_are_of_its_features(quiet_trainer: Any, shapes: Any) -> None:
    trainer = fitted(quiet_trainer, Classifier(**TINY), shapes, callbacks=[OnlineKNN(k=3)])
    assert any(name.startswith("val/knn") for name in trainer.callback_metrics)


def test_validation_encodes_an_image_once(quiet_trainer: Any, shapes: Any) -> None:
    classifier, seen = Classifier(**TINY, num_classes=shapes().num_classes), []
    classifier.encoder.register_forward_hook(lambda encoder, given, output: seen.append(len(given[0])))
    quiet_trainer().validate(classifier, datamodule=shapes(), verbose=False)
    assert sum(seen) == len(shapes_of(shapes).val_set)


def shapes_of(shapes: Any) -> Any:
    data = shapes()
    data.setup()
    return data
