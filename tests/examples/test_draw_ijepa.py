from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"


def test_shows_context_and_targets_and_nothing_else(example, tiny_ijepa):
    draw, module = example("draw_ijepa.py"), tiny_ijepa()
    batch = draw.scenes(module, 2)
    whole, seen, predicted = draw.panels(module, batch).unbind(1)
    (masks,) = batch.masks
    for sample in range(2):
        for token in range(16):
            rows, columns = (slice(8 * place, 8 * place + 8) for place in divmod(token, 4))
            image = whole[sample, :, rows, columns]
            for panel, kept in ((seen, masks.context[sample]), (predicted, masks.target[sample])):
                expected = image if token in kept else torch.full_like(image, 0.9)
                torch.testing.assert_close(panel[sample, :, rows, columns], expected)
    mean, std = (torch.tensor(values)[:, None, None] for values in (module.mean, module.std))
    torch.testing.assert_close(whole, batch.views[0] * std + mean, atol=1e-6, rtol=0)


def test_draws_what_the_run_has_logged(example, tiny_ijepa, quiet_trainer, shapes, tmp_path: Path):
    draw, run = example("draw_ijepa.py"), tmp_path / "run"
    trainer = quiet_trainer(max_steps=1, limit_val_batches=0)
    trainer.fit(tiny_ijepa(), datamodule=shapes())
    trainer.save_checkpoint(run / "checkpoints" / "last.ckpt")
    with SummaryWriter(run) as log:
        log.add_scalar("train/loss", 0.5, 9)
        for label in draw.LABELS:
            log.add_scalar(f"val/linear_{label}", 0.25, 49)
            log.add_scalar(f"val/linear_{label}_raw_pixels", 0.75, 49)
    assert draw.curves(run)["val/linear_shape"] == ([50], [0.25])
    draw.main([str(run), "--out", "drawn/run.png", "--scenes", "2"])
    assert Image.open("drawn/run.png").size[0] > 1000


def test_the_picture_of_the_readme_is_small():
    picture = GALLERY / "ijepa.png"
    assert picture.stat().st_size < 150_000
    with Image.open(picture) as image:
        assert image.size[0] == pytest.approx(1100)
