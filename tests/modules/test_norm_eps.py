from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from jepa_lightning import IJEPA, VJEPA, Classifier
from jepa_lightning.callbacks import StartFrom

Build = Callable[..., Any]
EPS = 1e-2  # which matters


def eps_of(module: nn.Module) -> set[float]:
    return {layer.eps for layer in module.modules() if isinstance(layer, nn.LayerNorm)}


@pytest.mark.parametrize("levels", [None, [0, 1]])
def test_all_norms_have_it(levels: list[int] | None) -> None:
    sizes: dict[str, Any] = {"width": 24, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8, "levels": levels}
    sizes |= {"predictor_depth": 1, "predictor_dim": 24, "min_keep": 2}
    for module in (IJEPA("vit_tiny", **sizes, norm_eps=EPS), VJEPA("vit_tiny", num_frames=4, **sizes, norm_eps=EPS)):
        assert eps_of(module) == {EPS}
    assert eps_of(IJEPA("vit_tiny", **sizes)) == {1e-6}


def test_what_is_out_of_range_or_would_be_ignored_is_refused(tiny_ijepa: Build) -> None:
    with pytest.raises(ValueError, match=r"IJEPA: norm_eps=-1 is out of range"):
        tiny_ijepa(norm_eps=-1)
    with pytest.raises(ValueError, match=r"norm_eps cannot be set for timm:test_vit, which has its own"):
        IJEPA("timm:test_vit", image_size=32, norm_eps=EPS)


def test_a_checkpoint_holds_it(tiny_ijepa: Build, quiet_trainer: Build, shapes: Build, tmp_path: Path) -> None:
    module = tiny_ijepa(norm_eps=EPS)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, shapes())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    module.save_pretrained(tmp_path / "folder")
    image = torch.rand(2, 3, 32, 32)
    found = IJEPA.load_from_checkpoint(tmp_path / "a.ckpt"), IJEPA.from_pretrained(tmp_path / "folder")
    for again in found:
        assert torch.equal(again.eval()(image), module.eval()(image))
    classifier = Classifier(str(tmp_path / "a.ckpt"), num_classes=2)
    assert torch.equal(classifier.forward_features(image), module.forward_features(image))
    # it matters
    assert not torch.allclose(
        IJEPA.load_from_checkpoint(tmp_path / "a.ckpt", norm_eps=1e-6).eval()(image), found[0](image)
    )


@pytest.mark.parametrize("source", ["a.ckpt", "folder"])
def test_a_run_takes_it_from_the_weights_that_it_starts_from_and_keeps_it(
    source: str, tiny_ijepa: Build, quiet_trainer: Build, shapes: Build, tmp_path: Path
) -> None:
    first, trainer = tiny_ijepa(norm_eps=EPS), quiet_trainer(max_steps=1, limit_train_batches=0)
    trainer.fit(first, shapes())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    first.save_pretrained(tmp_path / "folder")
    start = StartFrom(str(tmp_path / source))
    second, trainer = tiny_ijepa(), quiet_trainer(max_steps=1, limit_train_batches=0, callbacks=[start])
    trainer.fit(second, shapes())
    assert eps_of(second) == {EPS}
    trainer.save_checkpoint(tmp_path / "b.ckpt")
    assert IJEPA.load_from_checkpoint(tmp_path / "b.ckpt").hparams["norm_eps"] == EPS
    resumed = tiny_ijepa()  # as the script that started the run builds it
    quiet_trainer(max_steps=1, limit_train_batches=0).fit(resumed, shapes(), ckpt_path=tmp_path / "b.ckpt")
    assert eps_of(resumed) == {EPS}
    given = tiny_ijepa(norm_eps=1e-6)
    with pytest.raises(MisconfigurationException, match=r"norm_eps is 1e-06, and the norms of the weights have 0\.01"):
        quiet_trainer(max_steps=1, callbacks=[start]).fit(given, shapes())
    assert eps_of(given) == {1e-6}
