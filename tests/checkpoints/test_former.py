"""Checkpoints that were written at 7f82a37, before the package had its present layout and initialization."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, MoCo
from jepa_lightning.callbacks import OnlineLinearProbe
from jepa_lightning.data import ShapesDataModule

FORMER = Path(__file__).parent / "former"
# of an image of even steps from -1 to 1, as the code of then gave them
FEATURES = {
    "ijepa": (IJEPA, [0.0645, -1.3171, -0.7857, -0.5528]),
    "moco": (MoCo, [0.1151, 0.1055, -1.8700, -0.7540]),
}


@pytest.mark.parametrize("name", FEATURES)
def test_they_load_without_arguments_and_give_the_same_features(name: str) -> None:
    kind, features = FEATURES[name]
    module = kind.load_from_checkpoint(FORMER / f"{name}.ckpt").eval()
    image = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    torch.testing.assert_close(module(image)[0, :4].detach(), torch.tensor(features), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", FEATURES)
def test_a_run_resumes_from_them(name: str, quiet_trainer: Any, tmp_path: Path) -> None:
    kind, _ = FEATURES[name]
    path = shutil.copy(FORMER / f"{name}.ckpt", tmp_path)
    module = kind.load_from_checkpoint(path)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    trainer = quiet_trainer(max_steps=4, limit_val_batches=0, callbacks=[OnlineLinearProbe()])
    data = ShapesDataModule(image_size=16, batch_size=4, num_workers=0, num_train=8, num_val=4)
    trainer.fit(module, datamodule=data, ckpt_path=path)
    assert trainer.global_step == 4
    assert any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
