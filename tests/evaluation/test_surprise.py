from typing import Any

import pytest
import torch

from jepa_lightning import VJEPA
from jepa_lightning.evaluation import surprise
from jepa_lightning.types import Masks


def tiny(**options: Any) -> VJEPA:
    torch.manual_seed(0)
    masks = {"num_blocks": (1,), "spatial_scale": (0.25,), "min_keep": 1}
    sizes = {"width": 48, "depth": 2, "heads": 3, "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 2}
    return VJEPA("vit_tiny", **{"image_size": 16, "patch_size": 8, "num_frames": 8, **masks, **sizes, **options})


@pytest.mark.parametrize("causal", [None, (1, 3)])
def test_each_window_is_the_distance_of_its_future_from_what_its_past_predicts(causal: Any) -> None:
    model, clips = tiny(causal_frames=causal), torch.randn(2, 3, 12, 16, 16)
    found = surprise(model, clips, context_frames=4, stride=2)
    assert found.shape == (2, 3)
    kind = len(model.masks) - 1
    order = torch.arange(16).expand(2, -1)  # 4 tubelets of 2 x 2 patches, of which the first two are seen
    masks = Masks(order[:, :8], order[:, None, 8:])
    for window, start in enumerate((0, 2, 4)):
        view = clips[:, :, start : start + 8]
        target = torch.nn.functional.layer_norm(model.target_encoder(view), (48,))[:, 8:]
        context = model.context_encoder(view, keep=masks.context)
        predicted = model.predictor(context, masks.context, masks.target, mask_index=kind)[:, 0]
        torch.testing.assert_close(found[:, window], (predicted - target).abs().mean(dim=(1, 2)))


def test_the_past_of_a_window_does_not_see_its_future_and_modes_stay() -> None:
    model, clips = tiny(drop_path=0.5).train(), torch.randn(1, 3, 8, 16, 16)
    first, again = (surprise(model, clips, context_frames=4) for _ in range(2))
    assert torch.equal(first, again)
    assert model.context_encoder.training
    assert not first.requires_grad


@pytest.mark.parametrize(
    ("frames", "context", "message"),
    [
        (6, 4, "clips of 6 frames are shorter than the module's 8"),
        (8, 3, "context_frames=3 must be a multiple of the tubelet's 2 frames"),
        (8, 0, "context_frames=0 must"),
        (8, 8, "leave some of the 8 to predict"),
    ],
)
def test_what_does_not_fit_is_refused(frames: int, context: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surprise(tiny(), torch.randn(1, 3, frames, 16, 16), context)
