from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex

from jepa_lightning import VJEPA
from jepa_lightning.callbacks import OnlineSegmentationProbe
from jepa_lightning.data import PhysicsVideoDataModule
from jepa_lightning.probing.mask_label import MaskLabel, classes_of_places


def test_a_place_has_the_class_of_most_of_its_pixels() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 255, 255], [2, 2, 0, 0, 1, 1], [2, 2, 0, 1, 0, 1]])[None]
    mask[0, 0, 5] = 255
    assert classes_of_places(mask, 3, 6).tolist() == [[0, 1, -1, 2, 0, 1]]
    with pytest.raises(ValueError, match="5 tokens are on no grid over masks of 4 x 6 pixels"):
        classes_of_places(mask, 3, 5)


def test_a_place_of_a_clip_has_the_class_of_most_pixels_of_its_frames() -> None:
    torch.manual_seed(0)
    mask = torch.randint(0, 3, (2, 6, 4, 6))
    mask[torch.rand(mask.shape) < 0.3] = 255
    found = classes_of_places(mask, 3, 3 * 2 * 3, tubelet=2)
    for clip, places in zip(mask, found, strict=True):
        for i, place in enumerate(places):
            t, row, column = i // 6 * 2, i % 6 // 3 * 2, i % 3 * 2
            pixels = clip[t : t + 2, row : row + 2, column : column + 2].flatten().tolist()
            counts = [pixels.count(name) for name in (0, 1, 2, 255)]
            assert counts[int(place)] == max(counts)
    with pytest.raises(ValueError, match="17 tokens are on no grid over 3 times masks of 4 x 6 pixels"):
        classes_of_places(mask, 3, 17, tubelet=2)


def test_loss_and_metric_are_those_of_all_tokens() -> None:
    torch.manual_seed(0)
    outputs, mask, kind = torch.randn(3, 4, 3), torch.randint(0, 3, (3, 2, 2)), MaskLabel(3)
    mask[2] = 255
    assert kind.labeled(mask).tolist() == [True, True, False]
    expected = F.cross_entropy(outputs[:2].flatten(0, 1), mask[:2].flatten())
    torch.testing.assert_close(kind.loss(outputs, mask) / 2, expected)
    metric = kind.metrics()["miou"]
    metric.update(*kind.scored(outputs, mask))
    reference = MulticlassJaccardIndex(3)(outputs[:2].flatten(0, 1), mask[:2].flatten())
    torch.testing.assert_close(metric.compute(), reference)


def test_it_learns_beside_the_module_and_touches_nothing(tiny_ijepa: Any, quiet_trainer: Any, shapes: Any) -> None:
    states = []
    for callbacks in ([], [OnlineSegmentationProbe(lr=0.05)]):
        module = tiny_ijepa()
        trainer = quiet_trainer(max_steps=8, callbacks=callbacks)
        trainer.fit(module, datamodule=shapes(dense=True))
        states.append(module.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    found = float(trainer.callback_metrics["val/segmentation_miou"])
    assert 1 / 18 < found <= 1  # the background alone has half of one of 9 classes at most


def test_it_learns_from_the_frames_of_clips(quiet_trainer: Any) -> None:
    module = VJEPA(
        "vit_tiny", image_size=48, patch_size=8, num_frames=4, frame_step=1, width=24, depth=1, heads=2,
        predictor_dim=24, predictor_depth=1,
    )  # fmt: skip
    probe = OnlineSegmentationProbe(lr=0.05)
    data = PhysicsVideoDataModule(16, 8, num_frames=6, dense=True, batch_size=8, num_workers=0)
    trainer = quiet_trainer(max_steps=6, callbacks=[probe])
    trainer.fit(module, datamodule=data)
    assert 1 / 8 < float(trainer.callback_metrics["val/segmentation_miou"]) <= 1
    with pytest.raises(MisconfigurationException, match="the data do not say it"):
        trainer.fit(module, datamodule=PhysicsVideoDataModule(16, 8, num_frames=6, batch_size=8, num_workers=0))


def test_data_without_masks_are_refused(tiny_ijepa: Any, quiet_trainer: Any, shapes: Any) -> None:
    with pytest.raises(MisconfigurationException, match="the data do not say it"):
        quiet_trainer(max_steps=1, callbacks=[OnlineSegmentationProbe()]).fit(tiny_ijepa(), datamodule=shapes())
    with pytest.raises(MisconfigurationException, match="the batch has no extras\\['mask'\\]"):
        quiet_trainer(max_steps=1, callbacks=[OnlineSegmentationProbe(9)]).fit(tiny_ijepa(), datamodule=shapes())
