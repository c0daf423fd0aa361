"""V-JEPA 2.1: levels, the loss on the context, images beside clips, and a teacher."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.energy import energy_map
from jepa_lightning.losses import normalize_targets
from jepa_lightning.modules.frozen_encoder import FrozenEncoder
from jepa_lightning.types import Batch, Masks

Build = Callable[..., Any]
DENSE = {"depth": 3, "levels": [0, -1], "context_loss": 0.5}
FULL = {**DENSE, "rope": True, "rope_grid": 16, "images": True, "image_blocks": 2}


def disturbed(model: Any) -> Any:
    """Norms, mask tokens and modalities start equal, so that a swap of them would not show."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in [*model.context_encoder.parameters(), *model.predictor.parameters()]:
            parameter.add_(0.05 * torch.randn_like(parameter))
        for parameter in model.target_encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def images_of(model: VJEPA, clips: Batch) -> Batch:
    """The first frames of clips, as a batch of images."""
    torch.manual_seed(0)
    frames = list(clips.views[0][:, :, :1])
    return model.image_pipeline().collate(frames)


def slow_losses(model: VJEPA, view: Tensor, masks: Masks, kind: int) -> tuple[Tensor, Tensor]:
    """The loss on targets and on the context, a clip at a time, from the layers of the networks."""
    losses: list[list[Tensor]] = [[], []]
    grid = torch.tensor([[t, h, w] for t in range(4) for h in range(4) for w in range(4)]).float()
    network = model.predictor
    for clip, context, target in zip(view, masks.context, masks.target[:, 0], strict=True):

        def levels(encoder: Any, keep: Tensor, clip: Tensor = clip) -> list[Tensor]:
            tokens = (encoder.patch_embed(clip[None])[0] + encoder.pos_embed[0])[keep][None]
            first = encoder.blocks[0](tokens)
            last = encoder.blocks[2](encoder.blocks[1](first))
            return [norm(each)[0] for norm, each in zip(encoder.norms_block, (first, last), strict=True)]

        wanted = []
        for level in levels(model.target_encoder, torch.arange(64)):
            centered = level - level.mean(dim=1, keepdim=True)
            wanted.append(centered / (centered.square().mean(dim=1, keepdim=True) + 1e-5).sqrt())
        fused, _, narrow = network.predictor_embed
        known = narrow(nn.functional.gelu(fused(torch.cat(levels(model.context_encoder, context), dim=1))))
        places = network.predictor_pos_embed[0]
        masked = network.mask_tokens[kind][0].expand(len(target), -1) + places[target]
        row = torch.cat([known + places[context], masked])[None]
        for block in network.predictor_blocks:
            row = block(row)
        row = network.predictor_norm(row)[0]
        tokens, number = torch.cat(wanted, dim=1), len(context)
        losses[0].append((network.predictor_proj(row[number:]) - tokens[target]).abs().mean())
        errors = (network.predictor_proj_context(row[:number]) - tokens[context]).abs().mean(dim=1)
        near = torch.stack([(grid[target] - grid[token]).norm(dim=1).min() for token in context])
        losses[1].append((errors / near.sqrt()).mean())
    return torch.stack(losses[0]).mean(), torch.stack(losses[1]).mean()


def test_objective_equals_a_slow_independent_one_and_its_weight_warms_up(tiny_vjepa: Build, clips_of: Build) -> None:
    model = disturbed(tiny_vjepa(**DENSE, context_warmup=(0.2, 0.6))).eval()
    batch = clips_of(model, size=3)
    found = [slow_losses(model, batch.views[0], masks, kind) for kind, masks in enumerate(batch.masks)]
    target, context = (torch.stack(each).mean() for each in zip(*found, strict=True))
    for progress, weight in ((0.0, 0.0), (0.2, 0.0), (0.4, 0.25), (0.6, 0.5), (1.0, 0.5)):
        output = model.objective(batch, progress)
        torch.testing.assert_close(output.loss, target + weight * context, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(output.logs["context_loss"], context, atol=1e-5, rtol=1e-5)
    assert {"target_std_0", "target_std_2"} <= output.logs.keys()
    torch.testing.assert_close(model.energy(batch).mean(), target, atol=1e-5, rtol=1e-5)
    assert energy_map(model, batch.views[0]).shape == (3, 64)


@pytest.mark.parametrize("rope", [False, True])
def test_without_levels_and_weight_it_is_v_jepa_2_to_the_bit(tiny_vjepa: Build, clips_of: Build, rope: bool) -> None:
    """The steps of V-JEPA 2, written out on the same networks, give the same loss, gradients and next weights."""
    plain, other = tiny_vjepa(rope=rope), tiny_vjepa(rope=rope, context_loss=0.0, levels=None, images=False)
    assert {name.split(".")[1] for name in plain.state_dict()} <= {
        "patch_embed", "pos_embed", "blocks", "norm", "mask_tokens", "predictor_pos_embed", "predictor_embed",
        "predictor_blocks", "predictor_norm", "predictor_proj",
    }  # fmt: skip
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in plain.state_dict().items())
    batch = clips_of(plain)
    (view,) = batch.views
    losses = []
    for model, by_hand in ((plain, True), (other, False)):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for step in range(2):
            optimizer.zero_grad()
            if by_hand:
                with torch.no_grad():
                    targets = normalize_targets(model.target_encoder(view))
                each = []
                for kind, masks in enumerate(batch.masks):
                    context = model.context_encoder(view, keep=masks.context)
                    predicted = model.predictor(context, masks.context, masks.target, mask_index=kind)
                    index = masks.target.unsqueeze(-1).expand(-1, -1, -1, 48)
                    wanted = targets[:, None].gather(2, index)
                    each.append((predicted - wanted).abs().flatten(1).mean(dim=1).mean())
                loss = torch.stack(each).mean()
            else:
                loss = model.objective(batch, step / 2).loss
            loss.backward()
            optimizer.step()
            losses.append(loss)
    assert torch.equal(torch.stack(losses[:2]), torch.stack(losses[2:]))
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("of_images", [False, True])
def test_images_and_clips_both_train_all_that_they_share(tiny_vjepa: Build, clips_of: Build, of_images: bool) -> None:
    model = disturbed(tiny_vjepa(**FULL))
    batch = clips_of(model)
    batch = images_of(model, batch) if of_images else batch
    output = model.objective(batch, 1.0)
    output.loss.backward()
    other = "video_mod_embed" if of_images else "img_mod_embed"
    patches = "patch_embed." if of_images else "patch_embed_img."
    for part in (model.context_encoder, model.predictor):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None, name
            unused = name == other or name.startswith(patches) or (of_images and name == "mask_tokens.1")
            assert bool(parameter.grad.any()) != unused, name
    assert all(parameter.grad is None for parameter in model.target_encoder.parameters())
    assert all(name.startswith("image_") == of_images for name in output.logs)
    assert output.tokens.shape == (8, 16 if of_images else 64, 48)
    assert model.energy(batch).shape == (8,)
    features = model.eval().objective(batch, 1.0).features
    torch.testing.assert_close(features, model(batch.views[0]))


def test_images_are_normalized_on_the_device_as_clips_are(tiny_vjepa: Build) -> None:
    late, early = (tiny_vjepa(**FULL, normalize_on_device=on_device) for on_device in (True, False))
    image, views = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8), []
    for model in (late, early):
        torch.manual_seed(0)
        pipeline = model.image_pipeline()
        views.append(pipeline.collate([pipeline.transform(image)] * 2))
    assert views[0].views[0].dtype == torch.uint8
    torch.testing.assert_close(late.normalized(views[0]).views, views[1].views, atol=1e-6, rtol=1e-6)


def test_the_weight_of_images_scales_their_loss_alone(tiny_vjepa: Build, clips_of: Build) -> None:
    one, three = tiny_vjepa(**FULL), tiny_vjepa(**FULL, image_weight=3.0)
    clips = clips_of(one)
    images = images_of(one, clips)
    torch.testing.assert_close(three.objective(images, 1.0).loss, 3 * one.objective(images, 1.0).loss)
    torch.testing.assert_close(three.objective(clips, 1.0).loss, one.objective(clips, 1.0).loss)


def test_levels_and_context_loss_of_i_jepa(views_of: Build) -> None:
    torch.manual_seed(0)
    small = {"width": 48, "heads": 3, "image_size": 32, "patch_size": 8, "predictor_depth": 1, "predictor_dim": 24}
    model = IJEPA("vit_tiny", **small, **DENSE, content=1.0, regularizer="variance_covariance", min_keep=2)
    batch = views_of(model)
    early, late = (model.objective(batch, progress) for progress in (0.0, 1.0))
    torch.testing.assert_close(late.loss - early.loss, 0.5 * late.logs["context_loss"], atol=1e-5, rtol=1e-5)
    late.loss.backward()
    for part in (model.context_encoder, model.predictor):
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in part.parameters())
    assert model.predictor.predictor_proj.out_features == 96
    assert model.energy(batch).shape == (16,)


def test_a_teacher_gives_the_targets_and_is_saved_with_the_student(
    tiny_vjepa: Build, clips_of: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    def save(module: VJEPA, name: str) -> None:
        module.trainer = quiet_trainer()
        module.trainer.strategy.connect(module)
        module.trainer.save_checkpoint(tmp_path / name)

    large = tiny_vjepa(width=96, heads=3, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2), lr=1e-3)
    save(large, "teacher.ckpt")
    model = tiny_vjepa(teacher=str(tmp_path / "teacher.ckpt"), context_loss=0.5)
    assert isinstance(model.teacher, FrozenEncoder)
    assert model.mean == (0.4, 0.4, 0.4)
    batch = clips_of(model)
    (view,) = batch.views
    output = model.objective(batch, 1.0)
    output.loss.backward()
    assert output.features is None
    assert output.tokens is None
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    assert all(parameter.grad.any() for parameter in model.context_encoder.parameters())
    targets = normalize_targets(large.target_encoder(view))
    torch.testing.assert_close(model.target_tokens(model.encode_target(view)), targets)
    assert model.predictions(batch)[0].shape[-1] == 96
    assert model(view).shape == (8, 48)  # the student is what is evaluated
    assert [target for _, target in model.ema_pairs()] == [model.target_encoder]
    save(model, "student.ckpt")
    (tmp_path / "teacher.ckpt").unlink()
    loaded = VJEPA.load_from_checkpoint(tmp_path / "student.ckpt")
    torch.testing.assert_close(loaded.energy(batch), model.energy(batch))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": [0, 1], "target_layers": 2}, "target_layers=2 has no effect, since levels"),
        ({"context_warmup": (0.2, 0.3)}, "context_warmup=.* has no effect, since context_loss is 0"),
        ({"context_weights": "uniform"}, "context_weights='uniform' has no effect"),
        ({"rope_grid": 16}, "rope_grid=16 has no effect, since rope is False"),
        ({"image_weight": 2.0}, "image_weight=2.0 has no effect, since images is False"),
        ({"levels": [0, 5]}, r"levels \[0, 5\] are not all there"),
        ({"images": True, "num_frames": 1}, "images=True is for the named encoders of clips"),
        ({"teacher": "vit_tiny"}, "teacher='vit_tiny' is no finished run: give a checkpoint"),
        ({"teacher": {"class_path": "torch.nn.Linear"}}, "teacher=.*Linear'} is no finished run"),
    ],
)
def test_nonsense_is_refused(tiny_vjepa: Build, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_vjepa(**options)


def test_a_teacher_that_does_not_fit_is_refused(tiny_vjepa: Build) -> None:
    options = {"width": 48, "depth": 1, "heads": 3, "patch_size": 4, "image_size": 32, "min_keep": 1}
    teacher = FrozenEncoder("jepa_lightning.modules.vjepa.VJEPA", {"encoder": "vit_tiny", "num_frames": 8, **options})
    with pytest.raises(ValueError, match=r"teacher has patches of \(2, 4, 4\), and the student \(2, 8, 8\)"):
        tiny_vjepa(teacher=teacher)
    with pytest.raises(ValueError, match=r"mean is \(0.1, 0.1, 0.1\), and the teacher's is"):
        tiny_vjepa(teacher=teacher, patch_size=4, mean=(0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="levels and target_layers cannot be set beside a teacher"):
        tiny_vjepa(teacher=teacher, patch_size=4, levels=[0, 1])


def test_other_encoders_have_no_levels() -> None:
    with pytest.raises(ValueError, match="timm:test_vit has no norm for each of them"):
        IJEPA("timm:test_vit", image_size=64, levels=[0, -1], min_keep=2)
