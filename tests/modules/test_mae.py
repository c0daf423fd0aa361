from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.types import Batch, Masks

Build = Callable[..., Any]


def pixels(view: Tensor, token: int, columns: int = 4) -> Tensor:
    """The pixels of one token's patch of 8 x 8, row by row with the channels last: what the decoder's outputs mean."""
    row, column = divmod(token, columns)
    return view[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].permute(1, 2, 0).flatten()


def predictions(model: Any, batch: Batch) -> Tensor:
    """What the decoder says to a batch."""
    seen = []
    hook = model.decoder.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model.energy(batch)
    hook.remove()
    (output,) = seen
    return output


@pytest.mark.parametrize("normalize", [True, False])
def test_objective_is_the_error_of_each_masked_patch(tiny_method: Build, views_of: Build, normalize: bool) -> None:
    model = tiny_method("MAE", normalize_pixels=normalize)
    batch = views_of(model, size=3)
    view, masks = batch.views[0], batch.masks[0]
    assert masks.target.shape == (3, 1, 12)
    losses = []
    for i in range(3):
        context = model.encoder(view[i : i + 1], keep=masks.context[i : i + 1])
        predicted = model.decoder(context, masks.context[i : i + 1], masks.target[i : i + 1])[0, 0]
        for token, prediction in zip(masks.target[i, 0].tolist(), predicted, strict=True):
            patch = pixels(view[i], token)
            if normalize:
                patch = (patch - patch.mean()) / (((patch - patch.mean()) ** 2).sum() / 191 + 1e-6).sqrt()
            losses.append(((prediction - patch) ** 2).mean())
    loss = model.objective(batch, 0.0).loss
    torch.testing.assert_close(loss, torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)
    expected = torch.stack(losses).unflatten(0, (3, 12)).mean(dim=1)
    torch.testing.assert_close(model.energy(batch), expected, atol=1e-5, rtol=1e-5)


def test_the_prediction_sees_the_context_alone(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("MAE").eval()
    batch = views_of(model, size=2)
    view, masks = batch.views[0], batch.masks[0]

    def noisy(tokens: list[int]) -> Batch:
        changed = view.clone()
        for token in tokens:
            row, column = divmod(token, 4)
            changed[0, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = torch.randn(3, 8, 8)
        return batch._replace(views=[changed])

    before = predictions(model, batch)
    assert torch.equal(predictions(model, noisy(masks.target[0, 0].tolist())), before)
    seen = predictions(model, noisy(masks.context[0, :1].tolist()))
    assert not torch.allclose(seen[0], before[0])
    assert torch.equal(seen[1], before[1])


def test_pixels_of_the_context_are_no_part_of_the_loss(tiny_method: Build, views_of: Build) -> None:
    """The second view gives the targets: there, what is not masked does not matter."""
    model = tiny_method("MAE").eval()
    batch = views_of(model, size=2)
    view, masks = batch.views[0], batch.masks[0]
    other = view.clone()
    for i in range(2):
        for token in masks.context[i].tolist():
            row, column = divmod(token, 4)
            other[i, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 0
    assert torch.equal(model.energy(batch._replace(views=[view, other])), model.energy(batch))
    assert not torch.allclose(model.energy(batch._replace(views=[view, view.roll(1, 0)])), model.energy(batch))


def test_brightness_and_contrast_of_a_patch_do_not_matter_once_normalized(tiny_method: Build, views_of: Build) -> None:
    model, raw = (tiny_method("MAE", normalize_pixels=normalize).eval() for normalize in (True, False))
    batch = views_of(model, size=2)
    changed = batch._replace(views=[batch.views[0], 2 * batch.views[0] + 1])
    torch.testing.assert_close(model.energy(changed), model.energy(batch), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(raw.energy(changed), raw.energy(batch), rtol=0.1)


def test_all_tokens_are_either_seen_or_predicted(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("MAE", mask_ratio=0.5, image_size=(32, 48))
    batch = views_of(model, size=4)
    (masks,) = batch.masks
    assert (masks.context.shape, masks.target.shape) == ((4, 12), (4, 1, 12))
    for context, target in zip(masks.context, masks.target[:, 0], strict=True):
        assert sorted([*context.tolist(), *target.tolist()]) == list(range(24))
    assert batch.views[0].shape == (4, 3, 32, 48)
    assert model.objective(batch, 0.0).loss.isfinite()


def test_features_come_from_the_whole_image(tiny_method: Build) -> None:
    model = tiny_method("MAE").eval()
    assert model.eval_encoder is model.encoder
    images = torch.randn(2, 3, 32, 32)
    assert model(images, pool=False).shape == (2, 16, 48)
    assert model.ema_pairs() == ()
    assert model.betas == (0.9, 0.95)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_ratio": 0.99}, r"a mask ratio of 0\.99 on a grid of \(4, 4\) leaves no token"),
        ({"encoder": "vit_tinny"}, "there is no encoder 'vit_tinny': did you mean vit_tiny"),
        ({"encoder": "resnet18"}, "there is no encoder 'resnet18': "),
        ({"decoder_dim": 50}, "decoder_dim=50 is not a multiple of decoder_heads=3"),
        ({"image_size": 36}, "patch 8x8 does not divide an input of 36x36"),
    ],
)
def test_options_that_make_no_sense_are_named(tiny_method: Build, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_method("MAE", **options)


def test_weights_start_as_in_the_paper_or_as_in_the_other_transformers(tiny_method: Build) -> None:
    for network in ("encoder", "decoder"):
        xavier, normal = (getattr(tiny_method("MAE", init=init), network) for init in ("xavier", "normal"))
        blocks = [net.blocks if network == "encoder" else net.predictor_blocks for net in (xavier, normal)]
        bound = (6 / (48 + 3 * 48)) ** 0.5
        assert 0.99 * bound < blocks[0][0].attn.qkv.weight.abs().max() <= bound
        assert blocks[1][0].attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_an_objective_takes_one_view_and_one_mask(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("MAE")
    batch = views_of(model, size=2)
    with pytest.raises(ValueError, match=r"MAE takes one view with one mask, got 2 and 1: collate with module\.pipe"):
        model.objective(batch._replace(views=batch.views * 2), 0.0)
    with pytest.raises(ValueError, match="got 1 and 2"):
        model.energy(batch._replace(masks=(batch.masks[0], Masks(*batch.masks[0]))))
