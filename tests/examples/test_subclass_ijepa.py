from pathlib import Path

import torch


def test_trains_saves_and_reloads_without_arguments(example):
    subclass = example("subclass_ijepa.py")
    subclass.main(["--epochs", "1"])
    (checkpoint,) = Path().glob("lightning_logs/*/checkpoints/*.ckpt")
    module = subclass.ConvIJEPA.load_from_checkpoint(checkpoint)
    assert module.target_encoder.patch_embed.proj[2].weight.shape == (192, 64, 2, 2)
    assert torch.load(checkpoint, weights_only=True)["callbacks"]["OnlineLinearProbe"]["best"]["val/linear"] > 0.25


def test_the_distance_is_charbonniers(example):
    predicted, target = torch.randn(2, 3, 4, 5, 6).unbind()
    expected = torch.stack([torch.sqrt((a - b) ** 2 + 1e-3).mean() for a, b in zip(predicted, target, strict=True)])
    subclass = example("subclass_ijepa.py")
    torch.testing.assert_close(subclass.ConvIJEPA.distance(None, predicted, target), expected)


def test_stays_under_60_lines(example):
    assert len(Path(example("subclass_ijepa.py").__file__).read_text().splitlines()) < 60
