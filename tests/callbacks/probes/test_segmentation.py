from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning import VJEPA
from jepa_lightning.callbacks import OnlineSegmentationProbe
from jepa_lightning.data import PhysicsVideoDataModule
from jepa_lightning.types import Batch


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


def test_a_class_beyond_the_number_of_classes_is_refused(tiny_ijepa: Any, quiet_trainer: Any, shapes: Any) -> None:
    message = "OnlineSegmentationProbe has 2 classes for .*: classes run from 0 to 1, and 255 is unlabeled"
    with pytest.raises(MisconfigurationException, match=message):
        quiet_trainer(max_steps=1, callbacks=[OnlineSegmentationProbe(2)]).fit(
            tiny_ijepa(), datamodule=shapes(dense=True)
        )


def test_masks_may_have_any_type_of_integers(tiny_ijepa: Any, quiet_trainer: Any) -> None:
    batch = Batch([torch.zeros(2, 3, 32, 32)], extras={"mask": torch.ones(2, 32, 32, dtype=torch.uint8)})
    probe = OnlineSegmentationProbe(2)
    probe.setup(quiet_trainer(callbacks=[probe]), tiny_ijepa(), "fit")
    found = probe.labels(tiny_ijepa(), batch)[""]
    assert found.dtype == torch.int64
    assert found.min() == 1
