from collections.abc import Callable
from typing import Any

import torch

from jepa_lightning import VJEPA
from jepa_lightning.evaluation.subjects import Subject, untrained
from jepa_lightning.features import as_pixels

Build = Callable[..., Any]


def views(number: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, 3, 32, 32, generator=generator) for _ in range(number)]


def test_pixels_are_features_and_patches_of_them_tokens() -> None:
    (view,) = views()
    subject = Subject("pixels", patch=16)
    assert torch.equal(subject.features([view])["pixels"], as_pixels(view))
    tokens = subject.tokens([view])
    assert tokens.shape == (2, 4, 3 * 16 * 16)
    assert tokens.dtype == torch.half
    patch = view[1, :, 16:, :16].permute(1, 2, 0).flatten().half()
    assert torch.equal(tokens[1, 2], patch)  # row by row
    assert subject.grid(view[..., :16], 2) == (2, 1)


def test_features_are_the_mean_over_views_and_tokens_stand_side_by_side(tiny_ijepa: Build) -> None:
    module, both = tiny_ijepa().train(), views(2)
    subject = Subject("checkpoint", module)
    found = subject.features(both)
    assert {name: value.shape for name, value in found.items()} == {"last": (2, 48), "last4": (2, 96)}
    with torch.no_grad():
        apart = [module.eval_encoder.eval()(view) for view in both]
    torch.testing.assert_close(found["last"], (apart[0].mean(dim=1) + apart[1].mean(dim=1)) / 2)
    torch.testing.assert_close(subject.tokens(both), torch.cat(apart, dim=1).half(), atol=2e-3, rtol=0)
    assert module.training
    assert not any(value.requires_grad for value in found.values())
    assert subject.features(both)["last4"].shape == (2, 96)  # the second time too


def test_the_grid_is_that_of_an_image_or_of_a_clip(tiny_ijepa: Build) -> None:
    (view,) = views()
    assert Subject("checkpoint", tiny_ijepa(image_size=(32, 16))).grid(view[..., :16], 8) == (4, 2)
    options = {"width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8, "predictor_depth": 1}
    clips = VJEPA("vit_tiny", **options, predictor_dim=24, num_frames=4, min_keep=2)
    subject = Subject("checkpoint", clips)
    assert subject.grid(view, subject.tokens([view]).shape[1]) == (4, 4)
    clip = view.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    assert subject.grid(clip, subject.tokens([clip]).shape[1]) == (2, 4, 4)


def test_patches_of_pixels_of_a_clip_are_those_of_its_frames() -> None:
    clip, pixels = torch.rand(2, 3, 4, 16, 24), Subject("pixels")
    tokens = pixels.tokens([clip])
    assert pixels.grid(clip, tokens.shape[1]) == (4, 2, 3)
    frames = [pixels.tokens([frame]) for frame in clip.unbind(2)]
    assert torch.equal(tokens, torch.cat(frames, dim=1))


def test_the_fingerprint_changes_with_weights_and_options_and_with_nothing_else(tiny_ijepa: Build) -> None:
    module = tiny_ijepa()
    found = Subject("checkpoint", module).fingerprint()
    assert Subject("another name", tiny_ijepa()).fingerprint() == found
    with torch.no_grad():
        module.predictor.mask_token.add_(1)  # is not evaluated
    assert Subject("checkpoint", module).fingerprint() == found
    other = tiny_ijepa(heads=6)  # whose weights are the same
    weights = module.eval_encoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in other.eval_encoder.state_dict().items())
    assert Subject("checkpoint", other).fingerprint() != found
    with torch.no_grad():
        module.eval_encoder.norm.bias[0] += 1e-7
    assert Subject("checkpoint", module).fingerprint() != found


def test_pixels_differ_by_the_side_of_a_patch_alone() -> None:
    assert Subject("pixels").fingerprint() == Subject("pixels", patch=8).fingerprint()
    assert Subject("pixels").fingerprint() != Subject("pixels", patch=16).fingerprint()


def test_an_untrained_module_has_the_options_and_weights_of_a_seed(tiny_ijepa: Build) -> None:
    module = tiny_ijepa()
    before = torch.get_rng_state()
    first, again, other = (untrained(module, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert dict(first.hparams) == dict(module.hparams)
    states = [each.eval_encoder.state_dict()["blocks.0.mlp.fc1.weight"] for each in (first, again, other, module)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
