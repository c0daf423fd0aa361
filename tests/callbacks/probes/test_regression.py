from typing import Any, ClassVar

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import OnlineRegressionProbe
from jepa_lightning.types import Batch


class Frames(LightningModule):
    """A module whose step gives two tokens for each frame, which hold the state in their mean."""

    tokens_of_a_frame: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Batch, index: int) -> dict[str, Tensor]:
        return {"loss": self.weight.square(), "tokens": batch.views[0]}

    def validation_step(self, batch: Batch, index: int) -> dict[str, Tensor]:
        return self.training_step(batch, index)


def batches(number: int, seed: int, noise: float = 0.0) -> list[Batch]:
    torch.manual_seed(seed)
    found = []
    for _ in range(number):
        states = torch.randn(8, 5, 2) * torch.tensor([10.0, 3.0]) + torch.tensor([30.0, -5.0])
        standard = (states - torch.tensor([30.0, -5.0])) / torch.tensor([10.0, 3.0])
        hidden = torch.cat([standard @ torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.randn(8, 5, 2)], dim=-1)
        hidden = hidden + noise * torch.randn_like(hidden)
        odd = torch.randn_like(hidden)
        tokens = torch.stack([hidden + odd, hidden - odd], dim=2).flatten(1, 2)  # [B, T * 2, D]
        found.append(Batch([tokens], extras={"states": states}))
    return found


def run(quiet_trainer: Any, probe: OnlineRegressionProbe, train: list[Batch], val: list[Batch], **options: Any) -> Any:
    loaders = (DataLoader(part, batch_size=None) for part in (train, val))
    trainer = quiet_trainer(callbacks=[probe], **options)
    trainer.fit(Frames(), *loaders)
    return trainer


def test_it_reads_the_state_of_each_frame_in_its_own_unit(quiet_trainer: Any) -> None:
    probe = OnlineRegressionProbe(lr=0.05)
    run(quiet_trainer, probe, batches(32, seed=0), batches(4, seed=1), max_epochs=6)
    assert set(probe.best) == {"val/regression_r2", "val/regression_mae"}
    assert probe.best["val/regression_r2"] > 0.99
    assert probe.best["val/regression_mae"] < 0.5  # of deviations of 10 and 3


def test_scores_are_those_written_out(quiet_trainer: Any) -> None:
    probe, val = OnlineRegressionProbe(), batches(2, seed=1)
    trainer = run(quiet_trainer, probe, batches(8, seed=0), val, max_epochs=1)
    features = torch.cat([batch.views[0].view(8, 5, 2, 4).mean(2).flatten(0, 1) for batch in val])
    states = torch.cat([batch.extras["states"].flatten(0, 1) for batch in val])
    predicted = probe.scores(features)[""][""]
    error = (predicted - states).square().sum(0) / (states - states.mean(0)).square().sum(0)
    logged = trainer.callback_metrics
    assert logged["val/regression_r2"].item() == pytest.approx((1 - error).mean().item(), abs=1e-4)
    assert logged["val/regression_mae"].item() == pytest.approx((predicted - states).abs().mean().item(), rel=1e-4)


def test_states_that_are_not_known_are_left_out(quiet_trainer: Any) -> None:
    train, val = batches(8, seed=0), batches(2, seed=1)
    known = run(quiet_trainer, OnlineRegressionProbe(), train, val, max_epochs=1).callback_metrics
    for batch in val:
        batch.extras["states"][:4, 1:] = torch.nan
    left = run(quiet_trainer, OnlineRegressionProbe(), train, val, max_epochs=1).callback_metrics
    assert left["val/regression_mae"].isfinite()
    assert left["val/regression_mae"] != known["val/regression_mae"]


def test_it_continues_as_if_it_had_not_stopped(quiet_trainer: Any, tmp_path: Any) -> None:
    train, val = batches(8, seed=0), batches(2, seed=1)
    whole = OnlineRegressionProbe()
    run(quiet_trainer, whole, train, val, max_epochs=2)
    first = run(quiet_trainer, OnlineRegressionProbe(), train, val, max_epochs=1)
    first.save_checkpoint(tmp_path / "first.ckpt")
    again = OnlineRegressionProbe()
    trainer = quiet_trainer(callbacks=[again], max_epochs=2)
    trainer.fit(
        Frames(), *(DataLoader(part, batch_size=None) for part in (train, val)), ckpt_path=tmp_path / "first.ckpt"
    )
    torch.testing.assert_close(again.state_dict()["probe"]["heads"], whole.state_dict()["probe"]["heads"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extras": {}}, r"needs states \[B, T, S\], and the batch has no extras..states..: use a DataModule"),
        ({"extras": {"states": torch.zeros(8, 2)}}, r"but one of shape \[8, 2\]"),
        ({"extras": {"states": torch.zeros(8, 3, 2)}}, "gives 10 tokens for 3 states"),
    ],
)
def test_batches_without_states_are_refused(quiet_trainer: Any, change: dict[str, Any], message: str) -> None:
    (batch,) = batches(1, seed=0)
    with pytest.raises(MisconfigurationException, match=message):
        run(quiet_trainer, OnlineRegressionProbe(), [batch._replace(**change)], [], max_steps=1)
