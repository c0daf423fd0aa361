from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jepa_lightning.data.pipelines import Pipeline, eval_view
from jepa_lightning.evaluation.detector_module import DetectorModule
from jepa_lightning.nn import VisionTransformer
from jepa_lightning.probing.detector import Detector
from jepa_lightning.types import Batch

SHOWN = Pipeline(eval_view((32, 32)), eval_view((32, 32)))


@pytest.fixture
def batch() -> Batch:
    """Two images with a box each, of which the second is a crowd, and a row that fills up."""
    boxes = torch.tensor([[[2.0, 2, 20, 20], [0, 0, 0, 0]], [[4.0, 4, 30, 30], [0, 0, 0, 0]]])
    extras = {"boxes": boxes, "box_classes": torch.tensor([[1, -1], [0, -1]])}
    crowds = torch.tensor([[False, False], [True, False]])
    generator = torch.Generator().manual_seed(0)
    return Batch([torch.randn(2, 3, 32, 32, generator=generator)], extras={**extras, "box_crowds": crowds})


def build(seed: int = 0) -> DetectorModule:
    torch.manual_seed(0)
    encoder = VisionTransformer(32, 8, 16, 2, 2, drop_path=0.5).eval()
    detector = Detector(16, 2, channels=8, hidden=16, regions=8, proposals=10)
    return DetectorModule(encoder, detector, SHOWN, (4, 4), (32, 32), (1e-3, 0.1), 0.5, seed)


def test_an_encoder_of_a_checkpoint_is_in_training_and_samples_are_shown_as_was_asked() -> None:
    module = build()
    assert module.encoder.training
    assert module.pipeline() is SHOWN


def test_a_step_draws_the_same_whatever_was_drawn_before_and_leaves_the_generator(batch: Batch) -> None:
    module = build()
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        losses.append(float(module.training_step(batch, 0).detach()))
        assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1] > 0
    assert float(build(seed=1).training_step(batch, 0).detach()) != losses[0]


def test_both_networks_learn_and_a_crowd_is_no_object(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    module = build()
    given: list[Any] = []
    real = module.detector.forward

    def noted(maps: Any, size: Any, targets: Any = None) -> Any:
        given.append((maps.shape, size, targets))
        return real(maps, size, targets)

    monkeypatch.setattr(module.detector, "forward", noted)
    module.training_step(batch, 0).backward()
    assert module.encoder.patch_embed.proj.weight.grad is not None
    [(shape, size, targets)] = given
    assert (shape, size) == ((2, 16, 4, 4), (32, 32))
    assert [len(each["boxes"]) for each in targets] == [1, 0]


@torch.no_grad()
def test_in_evaluation_boxes_are_found_in_each_view(batch: Batch) -> None:
    found = build().eval()(batch.views[0])
    assert [sorted(each) for each in found] == [["boxes", "labels", "scores"]] * 2


def test_rates_rise_from_layer_to_layer_and_fall_to_nothing_in_the_end() -> None:
    module: Any = build()
    module.trainer = SimpleNamespace(estimated_stepping_batches=200)
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    peaks = {group["name"].partition("-")[0]: group["initial_lr"] for group in optimizer.param_groups}
    assert peaks == {"layer_0": 1.25e-4, "layer_1": 2.5e-4, "layer_2": 5e-4, "head": 1e-3}
    assert made["lr_scheduler"]["interval"] == "step"
    shares = []
    for _ in range(200):
        each = {group["lr"] / group["initial_lr"] for group in optimizer.param_groups}
        assert max(each) == pytest.approx(min(each))
        shares.append(max(each))
        optimizer.step()
        schedule.step()
    assert 0 < shares[0] < max(shares) <= 1
    assert shares[-1] < 0.05
