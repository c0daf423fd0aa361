"""Parity with lightning-bolts where the extra is installed, and the adapter with a stand-in where it is not."""

import math
import warnings
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import to_pil_image

from jepa_lightning.interop import BoltsDataModule
from jepa_lightning.losses import nt_xent_loss
from jepa_lightning.optim import WarmupCosine


class Images(Dataset):
    """Twenty images of the train split and ten of the other, in torchvision's form."""

    def __init__(self, root: str, train: bool = True, transform: Any = None, download: bool = False) -> None:
        self.size, self.transform = 20 if train else 10, transform

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(to_pil_image(torch.full((3, 36, 36), index * 10, dtype=torch.uint8))), index % 3


class StandIn:
    """What the adapter uses of a bolts ``VisionDataModule``."""

    num_classes = 3
    train_transforms = val_transforms = None
    prepared = False

    def prepare_data(self) -> None:
        self.prepared = True

    def setup(self, stage: str) -> None:
        assert stage == "fit"
        self.dataset_train = Images("", train=True, transform=self.train_transforms)
        self.dataset_val = Images("", train=False, transform=self.val_transforms)


def bolts() -> Any:
    """The package, without its many warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pl_bolts")
        import pl_bolts.datamodules.vision_datamodule
        import pl_bolts.models.self_supervised.simclr.simclr_module
        import pl_bolts.optimizers.lr_scheduler
    return pl_bolts


@pytest.mark.parametrize("real", [False, True])
def test_trains_on_a_bolts_data_module(tiny_ijepa: Any, quiet_trainer: Any, real: bool) -> None:
    source = StandIn()
    if real:
        package = bolts()

        class Vision(package.datamodules.vision_datamodule.VisionDataModule):
            dataset_cls, num_classes = Images, 3

            def default_transforms(self) -> Any:
                raise AssertionError("the adapter leaves transforms to the module in training")

        source = Vision("", val_split=4)
    data = BoltsDataModule(source, batch_size=8, num_workers=0)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(tiny_ijepa(), datamodule=data)
    assert trainer.global_step == len(data.train_set) // 8 == 2
    assert data.num_classes == 3
    assert real or source.prepared
    batch = next(iter(data.val_dataloader()))
    assert batch.views[0].shape[1:] == (3, 32, 32)
    assert set(batch.labels.tolist()) <= {0, 1, 2}


def test_refuses_what_is_no_bolts_data_module(shapes: Any) -> None:
    with pytest.raises(MisconfigurationException, match="VisionDataModule of pl_bolts with num_classes, not int"):
        BoltsDataModule(3)


# bolts takes a view's similarity with itself, e^(1/T), away from a sum in float32: of 2 images at .1 little is left but
# rounding
@pytest.mark.parametrize(("size", "temperature"), [(2, 0.5), (7, 0.1), (7, 0.5), (32, 0.1), (32, 0.5)])
def test_nt_xent_is_that_of_bolts(size: int, temperature: float) -> None:
    module = bolts().models.self_supervised.simclr.simclr_module.SimCLR
    torch.manual_seed(size)
    a, b = (F.normalize(torch.randn(size, 16), dim=1) for _ in range(2))
    expected = module.nt_xent_loss(None, a, b, temperature)
    torch.testing.assert_close(nt_xent_loss(a, b, temperature), expected, atol=1e-4, rtol=1e-4)


def test_the_schedule_is_that_of_bolts_but_for_the_end_of_the_warm_up() -> None:
    warmup, total, start, floor = 5, 20, 0.01, 0.001
    schedule = bolts().optimizers.lr_scheduler.LinearWarmupCosineAnnealingLR
    theirs = rates(lambda optimizer: schedule(optimizer, warmup, total, start, floor), total + 3)
    cosine = rates(lambda optimizer: WarmupCosine(optimizer, total + 1, warmup, start, floor), total + 3)
    # bolts reaches the peak a step before its warm-up ends, and stays there for one
    line = rates(lambda optimizer: WarmupCosine(optimizer, total + 1, warmup - 1, start, floor), warmup)
    assert theirs[:warmup] == pytest.approx(line)
    assert theirs[warmup : total + 1] == pytest.approx(cosine[warmup : total + 1])
    # theirs rises again after the end, ours never
    assert theirs[-1] > theirs[total] + 1e-6
    assert cosine[-1] == floor
    assert math.isclose(cosine[total], floor)


def rates(build: Any, steps: int) -> list[float]:
    """Learning rate of each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule, found = build(optimizer), []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
    return found
