from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from jepa_lightning import IJEPA, MAE, VJEPA, Classifier
from jepa_lightning.energy import energy_map, token_grid

Build = Callable[..., Any]
CLIPS = {"encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8,
         "num_frames": 4, "predictor_depth": 1, "predictor_dim": 24, "min_keep": 2}  # fmt: skip


def taken_by(network: nn.Module) -> list[tuple[int, ...]]:
    """Shapes of what a network is given first, as it is called."""
    shapes: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    return shapes


@pytest.mark.parametrize("options", [{}, {"levels": [0, 1], "context_loss": 0.5}, {"target_layers": 2, "content": 1.0}])
def test_everything_behind_an_encoder_sees_patch_tokens_alone(
    tiny_ijepa: Build, views_of: Build, options: dict[str, Any]
) -> None:
    module = tiny_ijepa(registers=3, **options)
    batch = views_of(module, size=4)
    blocks, predictor = taken_by(module.context_encoder.blocks[0]), taken_by(module.predictor)
    out = module.objective(batch, 0.5)
    kept = batch.masks[0].context.shape[1]
    assert blocks == [(4, kept + 3, 48)]
    assert predictor == [(4, kept, 48 * len(module.levels or [0]))]
    assert out.tokens.shape == (4, 16, 48)
    torch.testing.assert_close(out.features, out.tokens.mean(dim=1))
    out.loss.backward()
    assert module.context_encoder.reg_token.grad.any()
    assert module.target_encoder.reg_token.grad is None
    assert energy_map(module.eval(), batch).shape == (4, 16)
    assert token_grid(module) == (4, 4)
    assert module(batch.views[0], layers=(-2, -1), pool=False).shape == (4, 16, 96)


@pytest.mark.parametrize("options", [{}, {"rope": True, "images": True, "rope_grid": 16}])
def test_clips(views_of: Build, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = VJEPA(registers=2, **CLIPS, **options)
    clips = [torch.randint(0, 256, (8, 3, 40, 40), dtype=torch.uint8) for _ in range(2)]
    pipeline = module.pipeline()
    batch = pipeline.collate([pipeline.transform(clip) for clip in clips])
    out = module.objective(batch, 0.5)
    out.loss.backward()
    assert out.tokens.shape == (2, 32, 48)
    assert module.context_encoder.reg_token.grad.any()


def test_the_decoder_of_mae_sees_patch_tokens_alone(tiny_method: Build, views_of: Build) -> None:
    module = tiny_method("MAE", registers=3)
    batch = views_of(module, size=4)
    decoder = taken_by(module.decoder)
    module.objective(batch, 0.5).loss.backward()
    assert decoder == [(4, batch.masks[0].context.shape[1], 48)]
    assert module.encoder.reg_token.grad.any()
    assert module(batch.views[0]).shape == (4, 48)


def test_they_are_drawn_after_all_other_weights_of_the_encoder(tiny_ijepa: Build) -> None:
    plain, some = (tiny_ijepa(**options).context_encoder.state_dict() for options in ({}, {"registers": 2}))
    assert some.keys() - plain.keys() == {"reg_token"}
    assert all(torch.equal(some[name], value) for name, value in plain.items())


def test_checkpoints_hold_them_and_older_ones_open(
    tiny_ijepa: Build, quiet_trainer: Build, shapes: Build, tmp_path: Path
) -> None:
    image = torch.rand(2, 3, 32, 32)
    for options in ({"registers": 2, "patch_embedding": "convolutional"}, {}):
        module, trainer, path = tiny_ijepa(**options), quiet_trainer(max_steps=2), tmp_path / f"{len(options)}.ckpt"
        before = [each.clone() for each in module.target_encoder.parameters()]
        trainer.fit(module, shapes())
        assert not any(map(torch.equal, before, module.target_encoder.parameters()))  # the moving average moves all
        trainer.save_checkpoint(path)
        module.save_pretrained(tmp_path / f"folder {len(options)}")
        if not options:
            content = torch.load(path, weights_only=True)
            for name in ("registers", "patch_embedding"):  # as a checkpoint from before these options
                del content["hyper_parameters"][name]
            torch.save(content, path)
        expected = module.eval()(image)
        assert torch.equal(IJEPA.load_from_checkpoint(path).eval()(image), expected)
        assert torch.equal(IJEPA.from_pretrained(tmp_path / f"folder {len(options)}").eval()(image), expected)
        classifier = Classifier(str(path), num_classes=2).eval()
        assert torch.equal(classifier.forward_features(image), module.forward_features(image))


def test_weights_without_them_are_refused_by_name(
    tiny_ijepa: Build, quiet_trainer: Build, shapes: Build, tmp_path: Path
) -> None:
    tiny_ijepa().save_pretrained(tmp_path / "folder")
    trainer = quiet_trainer(max_steps=1)
    with pytest.raises(MisconfigurationException, match=r"other weights.*: context_encoder\.reg_token") as error:
        trainer.fit(tiny_ijepa(registers=2, start_from=str(tmp_path / "folder")), shapes())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", [-1, 65, 1.5, True])
def test_a_number_out_of_range_is_refused(number: Any) -> None:
    for method in (IJEPA, MAE, VJEPA):
        with pytest.raises(ValueError, match=rf"{method.__name__}: registers={number} is out of range"):
            method(registers=number)
