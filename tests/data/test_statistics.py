"""Channels, mean and std of the data, and a module that agrees with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from jepa_lightning import IJEPA, SimCLR
from jepa_lightning.cli import main
from jepa_lightning.data import JEPADataModule

Build = Callable[..., Any]


class BandsDataModule(JEPADataModule):
    """Noise of several channels as floats of 0 to 1."""

    num_classes = 2

    def __init__(self, bands: int = 13, **options: Any) -> None:
        super().__init__(**{"batch_size": 8, "num_workers": 0, "in_channels": bands, **options})
        self.bands = bands

    def build_datasets(self) -> tuple[Any, Any]:
        images: list[tuple[Tensor, int, None]] = []
        for index in range(24):
            images.append(
                (torch.rand(self.bands, 40, 40, generator=torch.Generator().manual_seed(index)), index % 2, None)
            )
        return images[:16], images[16:]


def test_the_module_takes_the_statistics_of_the_data(tiny_ijepa: Build, quiet_trainer: Build, tmp_path: Path) -> None:
    mean, std = [0.25, 0.5], [0.5, 0.25]
    module, trainer = tiny_ijepa(in_channels=2), quiet_trainer(max_steps=2)
    data = BandsDataModule(2, mean=mean, std=std)
    trainer.fit(module, data)
    assert (list(module.mean), list(module.std)) == (mean, std)
    image = torch.full((2, 32, 32), 0.75)
    torch.testing.assert_close(module.preprocess(image)[0, :, 0, 0], torch.tensor([1.0, 1.0]))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = IJEPA.load_from_checkpoint(tmp_path / "last.ckpt")
    torch.testing.assert_close(loaded.preprocess(image), module.preprocess(image).cpu())
    quiet_trainer().validate(loaded, data, verbose=False)
    other = BandsDataModule(2, mean=[0.1, 0.1], std=std)
    with pytest.raises(
        MisconfigurationException, match=r"mean=\[0.1, 0.1\] .* IJEPA has mean=\[0.25, 0.5\] .*--model.mean"
    ):
        quiet_trainer().validate(loaded, other, verbose=False)


def test_other_channels_are_refused_with_both_options(tiny_ijepa: Build, quiet_trainer: Build) -> None:
    with pytest.raises(MisconfigurationException, match=r"in_channels=13, and IJEPA has in_channels=3: .*--data.in_ch"):
        quiet_trainer(max_steps=1).fit(tiny_ijepa(), BandsDataModule())


def test_a_module_with_a_pipeline_of_its_own_is_told_where_statistics_go(
    quiet_trainer: Build, tiny_ijepa: Build
) -> None:
    class Plain(torch.nn.Module):
        def pipeline(self) -> Any:
            raise AssertionError

    data = BandsDataModule(2, mean=[0.5] * 2, std=[0.5] * 2)
    data.trainer = quiet_trainer()
    data.trainer.strategy._lightning_module = Plain()
    with pytest.raises(MisconfigurationException, match="Plain takes no mean and std from BandsDataModule"):
        _ = data.pipeline


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mean": [0.5] * 13}, "mean and std of the data come together"),
        ({"mean": [0.5], "std": [0.5]}, "in_channels is 13, and mean and std have 1 numbers"),
        ({"mean": [0.5] * 13, "std": [0.5]}, "mean has 13 channels and std 1"),
        ({"mean": [0.5] * 13, "std": [0.0] * 13}, "out of range"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        BandsDataModule(**options)


def test_a_pipeline_has_its_own_statistics(tiny_ijepa: Build) -> None:
    with pytest.raises(ValueError, match="a pipeline was given: leave them out"):
        BandsDataModule(1, pipeline=tiny_ijepa().pipeline(), mean=[0.5], std=[0.5])


def test_thirteen_bands_keep_their_depth_in_augmented_views() -> None:
    """8 bits would leave 77 of the values between 0 and 0.3."""
    module = SimCLR("resnet18", image_size=32, in_channels=13, mean=[0.0] * 13, std=[1.0] * 13, crop_scale=(1.0, 1.0))
    image = (torch.arange(13 * 32 * 32) / (13 * 32 * 32) * 0.3).view(13, 32, 32)
    with pytest.warns(UserWarning, match="color jitter and grayscale are for images of 3 channels"):
        view = module.pipeline().transform(image)[0]
    assert view.unique().numel() > 1000


def test_through_the_command_line(tiny_cli: str, capsys: Any) -> None:
    three = ["--data.mean=[0.5,0.5,0.5]", "--data.std=[0.25,0.25,0.25]"]
    main(["fit", "--config", tiny_cli, "--trainer.max_steps=1", *three])
    (last,) = Path("logs").rglob("last.ckpt")
    assert IJEPA.load_from_checkpoint(last).hparams["mean"] == [0.5, 0.5, 0.5]
    main(["validate", "--config", tiny_cli, "--ckpt_path", "last", *three])
    with pytest.raises(SystemExit):
        main(["fit", "--config", tiny_cli, "--trainer.max_steps=1", "--data.in_channels=1"])
    assert "has in_channels=1, and IJEPA has in_channels=3" in capsys.readouterr().err.splitlines()[-1]
