import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA, JEPAModule, WorldModel
from jepa_lightning.callbacks import CollapseMonitor, OnlineLinearProbe, ProbeReport
from jepa_lightning.data import TwoRoomsDataModule
from jepa_lightning.types import Batch

Build = Callable[..., Any]
CASES = ("IJEPA", "MAE", "SimCLR", "DINO", "VJEPA")


def build(name: str, tiny_ijepa: Build, tiny_method: Build, tiny_vjepa: Build, **options: Any) -> JEPAModule:
    if name == "IJEPA":
        module: JEPAModule = tiny_ijepa(**options)
    else:
        module = tiny_vjepa(**options) if name == "VJEPA" else tiny_method(name, **options)
    return module


def batch_of(module: JEPAModule, images: Tensor, training: bool) -> Batch:
    pipeline = pickle.loads(pickle.dumps(module.pipeline()))  # as a worker has it
    torch.manual_seed(0)
    transform = pipeline.transform if training else pipeline.eval_transform
    return pipeline.collate([transform(image) for image in images])


def trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_views_are_those_that_the_pipeline_normalizes(
    tiny_ijepa: Build, tiny_method: Build, tiny_vjepa: Build, smooth_images: Build, name: str
) -> None:
    images = smooth_images(3)
    if name == "VJEPA":
        images = torch.stack([images.roll(frame, -1) for frame in range(8)], dim=1)
    late, early = (
        build(name, tiny_ijepa, tiny_method, tiny_vjepa, normalize_on_device=on_device) for on_device in (True, False)
    )
    raw, expected = (batch_of(module, images, training=True) for module in (late, early))
    assert {view.dtype for view in raw.views} == {torch.uint8}
    found = late.normalized(raw)
    assert found._replace(views=[]) == raw._replace(views=[])
    torch.testing.assert_close(found.views, expected.views, atol=1e-6, rtol=1e-6)
    assert early.normalized(expected) is expected
    # evaluation is as ever
    still = batch_of(late, images, training=False)
    torch.testing.assert_close(still.views, batch_of(early, images, training=False).views)
    torch.testing.assert_close(late.normalized(still).views, still.views)


def test_images_of_more_than_8_bits_are_normalized_as_ever(tiny_ijepa: Build) -> None:
    image = torch.randint(0, 2**16, (3, 40, 40), dtype=torch.int32).to(torch.uint16)
    late, early = (
        batch_of(tiny_ijepa(normalize_on_device=on_device), image[None], training=True) for on_device in (True, False)
    )
    assert torch.equal(late.views[0], early.views[0])


def test_training_and_its_probes_are_the_same(tiny_ijepa: Build, shapes: Build) -> None:
    def run(on_device: bool) -> tuple[IJEPA, dict[str, Any]]:
        module, report = tiny_ijepa(normalize_on_device=on_device), ProbeReport(max_samples=32)
        torch.manual_seed(0)
        monitor = CollapseMonitor(every_n_steps=1, memory=16)  # it looks at a batch before the step
        fit = trainer(max_steps=2, callbacks=[report, OnlineLinearProbe(), monitor])
        fit.fit(module, datamodule=shapes(num_train=32))
        gaps.append(fit.callback_metrics["collapse/energy_gap"].item())
        return module, report.accuracy

    gaps: list[float] = []
    (late, after), (early, before) = run(True), run(False)
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-5)
    for name, value in early.state_dict().items():
        torch.testing.assert_close(late.state_dict()[name], value, atol=1e-5, rtol=1e-5)
    assert after == before


def test_callbacks_get_the_normalized_batch(tiny_ijepa: Build, smooth_images: Build) -> None:
    late, early = (tiny_ijepa(normalize_on_device=on_device) for on_device in (True, False))
    seen: list[Batch] = []

    class Seen(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
            seen.append(batch)

    given, expected = (batch_of(module, smooth_images(3), training=True) for module in (late, early))
    loader = DataLoader([given], batch_size=None, collate_fn=lambda batch: batch)  # a loader of one's own
    trainer(max_steps=1, callbacks=[Seen()]).fit(late, loader)
    torch.testing.assert_close(seen[0].views, expected.views, atol=1e-6, rtol=1e-6)


def test_a_world_model_normalizes_clips_with_the_statistics_of_its_data() -> None:
    seen = {}

    class Seen(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
            seen[pl_module.normalize_on_device] = batch

    for on_device in (True, False):
        seed_everything(0)
        data = TwoRoomsDataModule(num_train=8, num_val=8, num_frames=9, std=(0.05, 0.2), batch_size=4, num_workers=0)
        module = WorldModel(width=16, num_frames=9, normalize_on_device=on_device)
        trainer(max_steps=1, limit_val_batches=0, callbacks=[Seen()]).fit(module, datamodule=data)
        assert module.std == (0.05, 0.2)
        batch = next(iter(data.train_dataloader()))
        assert batch.views[0].dtype == (torch.uint8 if on_device else torch.float32)
    torch.testing.assert_close(seen[True].views, seen[False].views, atol=1e-5, rtol=1e-5)
    assert float(seen[True].views[0].amax()) > 4  # walls: (1 - .0989) / .2
