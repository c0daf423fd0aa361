"""Each kind of encoder and of channels trains with probe and report, saves, and loads without arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning import IJEPA, MAE, SimCLR
from jepa_lightning.callbacks import OnlineLinearProbe, ProbeReport
from jepa_lightning.data import JEPADataModule
from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.nn import MaskedConvNet

SMALL = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 2, "num_targets": 2, "min_keep": 4}
DECODER = {"decoder_depth": 1, "decoder_dim": 24, "decoder_heads": 2}
NAMED = {"image_size": 32, "patch_size": 8, "width": 48, "depth": 2, "heads": 3}


def convnet(channels: int = 3) -> MaskedConvNet:
    return MaskedConvNet(32, channels, widths=(8, 16), depths=(1, 1))


CASES: dict[str, tuple[int, Callable[[], EncoderModule]]] = {
    "vit of timm": (3, lambda: IJEPA("timm:vit_small_patch14_reg4_dinov2", image_size=70, pretrained=False, **SMALL)),
    "vit of timm with rotary positions": (3, lambda: IJEPA("timm:vit_small_patch16_dinov3", image_size=80, **SMALL)),
    "vit of timm, MAE": (3, lambda: MAE("timm:vit_tiny_patch16_224", image_size=64, **DECODER)),
    "convnet": (3, lambda: IJEPA(encoder=convnet(), image_size=32, **SMALL)),
    "convnet, MAE": (2, lambda: MAE(encoder=convnet(2), image_size=32, in_channels=2, **DECODER)),
    "1 channel": (1, lambda: IJEPA("vit_tiny", in_channels=1, **NAMED, **SMALL)),
    "2 channels": (2, lambda: IJEPA("vit_tiny", in_channels=2, **NAMED, **SMALL)),
    "13 channels": (13, lambda: IJEPA("vit_tiny", in_channels=13, **NAMED, **SMALL)),
    "1 channel, SimCLR": (1, lambda: SimCLR("resnet18", image_size=32, stem="cifar", in_channels=1)),
    "vit of timm, SimCLR": (3, lambda: SimCLR("timm:vit_tiny_patch16_224", image_size=32)),
}  # fmt: skip


class StripesDataModule(JEPADataModule):
    """Stripes along rows or columns, in any number of channels."""

    num_classes = 2

    def __init__(self, channels: int) -> None:
        super().__init__(8, 0, in_channels=channels)
        self.channels = channels

    def build_datasets(self) -> tuple[Any, Any]:
        wave = 0.5 + 0.5 * torch.sin(torch.arange(40.0))
        both = (wave.expand(self.channels, 40, 40), wave[:, None].expand(self.channels, 40, 40))
        samples: list[tuple[Tensor, int, None]] = [
            (both[index % 2].roll(index, -1), index % 2, None) for index in range(32)
        ]
        return samples[:16], samples[16:]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:color jitter", "ignore:Training ends", "ignore:ProbeReport")
@pytest.mark.parametrize("case", CASES)
def test_trains_saves_and_loads(case: str, quiet_trainer: Callable[..., Any], tmp_path: Path) -> None:
    channels, build = CASES[case]
    torch.manual_seed(0)
    module, data, probe, report = build(), StripesDataModule(channels), OnlineLinearProbe(), ProbeReport()
    before = {name: value.clone() for name, value in module.eval_encoder.state_dict().items()}
    trainer = quiet_trainer(max_steps=20, callbacks=[probe, report])
    trainer.fit(module, data)
    assert trainer.global_step == 20
    assert any(not torch.equal(value, before[name]) for name, value in module.eval_encoder.state_dict().items())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = type(module).load_from_checkpoint(tmp_path / "last.ckpt", map_location="cpu").eval()
    image = torch.rand(channels, 40, 40)
    with torch.no_grad():
        features = loaded(loaded.preprocess(image))
        torch.testing.assert_close(features, module.eval()(module.preprocess(image)))
    assert features.isfinite().all()
    (validated,) = trainer.validate(loaded, data, verbose=False)
    assert 0 <= validated["val/linear"] <= 1
    assert loaded.hparams == module.hparams
