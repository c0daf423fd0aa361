"""Masks, clips and refusals of V-JEPA."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.transforms.functional import to_pil_image

from jepa_lightning.callbacks import OnlineAttentiveProbe, OnlineKNN, OnlineLinearProbe, ProbeReport
from jepa_lightning.cli.methods import methods_table
from jepa_lightning.data import ImageFolderDataModule, PhysicsVideoDataModule, TensorVideo
from jepa_lightning.features import encode
from jepa_lightning.masking import MultiBlock3DMask

Build = Callable[..., Any]


def test_causal_frames_add_a_kind_whose_target_is_the_future(tiny_vjepa: Build) -> None:
    model, seen = tiny_vjepa(causal_frames=(1, 3)), set()
    assert model.num_kinds == len(model.predictor.mask_tokens) == 3
    collate = model.pipeline().collate
    for _ in range(30):
        context, target = collate([torch.zeros(3, 8, 32, 32)] * 2).masks[2]
        past = context.shape[1]
        assert context.tolist() == [list(range(past))] * 2
        assert target.tolist() == [[list(range(past, 64))]] * 2
        seen.add(past / 16)
    assert seen == {1, 2, 3}
    alone = tiny_vjepa(num_blocks=(), spatial_scale=(), causal_frames=(2, 2))
    assert [masks.context.shape[1] for masks in alone.pipeline().collate([torch.zeros(3, 8, 32, 32)]).masks] == [32]


@pytest.mark.parametrize("legacy", [False, True])
def test_options_of_masks_reach_every_sampler(tiny_vjepa: Build, legacy: bool) -> None:
    options = {"aspect_ratio": (0.5, 2.0), "context_share": 0.5, "min_keep": 5}
    model = tiny_vjepa(num_blocks=(3, 2), spatial_scale=(0.2, 0.4), legacy_masks=legacy, **options)
    options = {**options, "legacy": legacy}
    samplers = [MultiBlock3DMask((4, 4, 4), m, (s, s), **options) for m, s in ((3, 0.2), (2, 0.4))]
    collate = model.pipeline().collate
    torch.manual_seed(3)
    drawn = [collate([torch.zeros(3, 8, 32, 32)] * 4).masks for _ in range(5)]
    torch.manual_seed(3)
    for masks in drawn:
        for got, sampler in zip(masks, samplers, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(got, sampler(4), strict=True))


@pytest.mark.parametrize(("options", "step"), [({"frame_step": 3}, 3), ({"fps": 5.0, "frame_step": 4}, 2), ({}, 1)])
def test_clips_have_the_frames_that_were_asked_for(tiny_vjepa: Build, options: dict[str, Any], step: int) -> None:
    frames = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 3, 40, 40)
    (clip,) = tiny_vjepa(**options).pipeline().transform(TensorVideo(frames, fps=10.0))
    assert clip.shape == (3, 8, 32, 32)
    steps = clip[0].diff(dim=0) * 255 * 0.229
    torch.testing.assert_close(steps, torch.full_like(steps, step), atol=1e-3, rtol=0)


def test_one_frame_trains_on_a_folder_of_images(tiny_vjepa: Build, quiet_trainer: Build, tmp_path: Path) -> None:
    for i in range(12):
        image = torch.randint(0, 256, (3, 40 + i, 50 - i), dtype=torch.uint8)
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(path)
    model = tiny_vjepa(num_frames=1)
    assert model.grid_size == (4, 4)
    before = model.context_encoder.patch_embed.proj.weight.clone()
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(model, ImageFolderDataModule(tmp_path / "images", batch_size=4, num_workers=0))
    assert trainer.global_step == 4
    assert not torch.equal(before, model.context_encoder.patch_embed.proj.weight)
    assert {"train/loss", "train/prediction_loss_1", "val/loss"} <= set(trainer.callback_metrics)


def test_its_row_says_what_it_needs(tiny_vjepa: Build, smooth_images: Build) -> None:
    (row,) = [line for line in methods_table().splitlines() if line.startswith("| VJEPA ")]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "VJEPA", "representation", "EMA target, predictor, masking", "no", "no",
    ]  # fmt: skip
    model = tiny_vjepa(crop_scale=(1.0, 1.0), flip=False)
    pipeline = model.pipeline()
    clips = [image.expand(8, -1, -1, -1) for image in smooth_images(4)]
    batch, evaluation = (pipeline.collate([t(c) for c in clips]) for t in (pipeline.transform, pipeline.eval_transform))
    torch.testing.assert_close(batch.views, evaluation.views)  # without augmentations there is one view to see
    for kind in batch.masks:
        for context, target in zip(kind.context, kind.target.flatten(1), strict=True):
            assert set(context.tolist()).isdisjoint(target.tolist())
    batch = batch._replace(views=[batch.views[0].clone().requires_grad_()])
    model.eval().energy(batch)[1].backward()
    assert [bool(each.any()) for each in batch.views[0].grad] == [False, True, False, False]


def test_batches_of_another_method_are_refused(tiny_vjepa: Build, clips_of: Build) -> None:
    model = tiny_vjepa()
    batch = clips_of(model, size=2)
    collate = r"collate with module\.pipeline\(\)\.collate\.$"
    for masks in ((), batch.masks[:1], batch.masks * 2):
        wrong = batch._replace(masks=masks)
        for refuse in (lambda wrong=wrong: model.objective(wrong, 0.0), lambda wrong=wrong: model.energy(wrong)):
            with pytest.raises(ValueError, match=rf"^VJEPA needs masks .* 2 kinds, got {len(masks)}: {collate}"):
                refuse()
    for views in ([], batch.views * 2):
        with pytest.raises(
            ValueError, match=rf"^VJEPA takes one view .*, got {len(views)}: .* module\.pipeline\(\)\.$"
        ):
            model.objective(batch._replace(views=views), 0.0)
    with pytest.raises(TypeError, match=r"not list: make it with DataLoader\(dataset, collate_fn=module.pipeline"):
        model.training_step(batch.views, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_blocks": (8,)}, r"num_blocks \(8,\) and spatial_scale \(0.15, 0.7\) must be of one length"),
        ({"spatial_scale": (0.2, 0.3, 0.7)}, r"\(0.2, 0.3, 0.7\) must be of one length: a number and a share for each"),
        ({"image_size": 30}, "patch 2x8x8 does not divide an input of 8x30x30"),
        ({"num_frames": 7}, "patch 2x8x8 does not divide an input of 7x32x32"),
        ({"min_keep": 60}, "leave min_keep=60 tokens in 0 of 1000 draws"),
        ({"causal_frames": (1, 4)}, r"context_frames \(1, 4\) .* do not fit 4 frames"),
        ({"num_frames": 1, "causal_frames": (1, 1)}, "do not fit 1 frames"),
        ({"rope": True, "heads": 12}, "heads of width 4 are too narrow"),
        ({"predictor_dim": 25}, "predictor width 25 is not a multiple of its heads 3"),
    ],
)
def test_options_that_do_not_fit_are_refused_at_construction(
    tiny_vjepa: Build, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_vjepa(**options)


def test_features_of_a_video_are_the_mean_over_its_clips_and_crops(tiny_vjepa: Build, quiet_trainer: Build) -> None:
    model = tiny_vjepa(eval_clips=2, eval_crops=3).eval()
    torch.manual_seed(0)
    films = [TensorVideo(torch.randint(0, 256, (30, 3, 32, 48), dtype=torch.uint8)) for _ in range(3)]
    pipeline = model.pipeline()
    batch = pipeline.collate([pipeline.eval_transform(film) for film in films])
    assert len(batch.views) == 6
    with torch.no_grad():
        each = torch.stack([model(view) for view in batch.views])
        assert (each[0] - each[1]).abs().max() > 1e-3
        torch.testing.assert_close(model.predict_step(batch, 0)["features"], each.mean(dim=0))
        tokens = encode(model, batch.views, pool=False)
        torch.testing.assert_close(tokens[:, 64:128], model(batch.views[1], pool=False))
        assert tokens.shape[1] == 6 * 64
        # the loss is that of the first view
        alone = model.objective(batch._replace(views=batch.views[:1]), 1.0)
        torch.testing.assert_close(model.objective(batch, 1.0).loss, alone.loss)


def test_probes_validate_on_all_views(tiny_vjepa: Build, quiet_trainer: Build) -> None:
    options = {"num_train": 32, "num_val": 16, "batch_size": 8, "num_workers": 0, "image_size": 32}
    data = PhysicsVideoDataModule(**options)
    seen: dict[str, set[int]] = {"train": set(), "val": set()}

    class Probe(OnlineAttentiveProbe):
        def inputs(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any) -> torch.Tensor:
            tokens = super().inputs(trainer, pl_module, outputs, batch)
            seen["train" if trainer.training else "val"].add(tokens.shape[1])
            return tokens

    trainer = quiet_trainer(max_steps=4, callbacks=[Probe(), OnlineLinearProbe(), OnlineKNN(), ProbeReport()])
    trainer.fit(tiny_vjepa(eval_clips=2), data)
    assert seen == {"train": {64}, "val": {128}}
    assert {"val/attentive", "val/linear", "val/knn"} <= set(trainer.callback_metrics)
