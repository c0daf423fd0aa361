from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.callbacks import EMACallback
from jepa_lightning.types import Batch

Build = Callable[..., Any]


@pytest.fixture
def byol(tiny_method: Build) -> Any:
    """One whose target differs from its online network, else a swap of them would not show."""
    model = tiny_method("BYOL")
    with torch.no_grad():
        for _, target in model.ema_pairs():
            for parameter in target.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def two_minus_two_cos(predicted: Tensor, target: Tensor) -> Tensor:
    return (F.normalize(predicted, dim=1) - F.normalize(target, dim=1)).square().sum(dim=1)


@pytest.mark.parametrize("training", [True, False])
def test_objective_is_the_sum_of_both_directions(byol: Any, views_of: Build, training: bool) -> None:
    model = byol.train(training)
    batch = views_of(model)
    first, second = batch.views
    # each view is a batch of its own to batch normalization, in the target too
    predicted = [model.predictor(model.projector(model.encoder(view).mean(dim=1))) for view in (first, second)]
    target = [model.target_projector(model.target_encoder(view).mean(dim=1)) for view in (first, second)]
    there, back = two_minus_two_cos(predicted[0], target[1]), two_minus_two_cos(predicted[1], target[0])
    output = model.objective(batch, 0.0)
    torch.testing.assert_close(output.loss, (there + back).mean(), atol=1e-5, rtol=1e-5)
    if not training:
        torch.testing.assert_close(model.energy(batch), there, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.energy(Batch([second, first])), back, atol=1e-5, rtol=1e-5)


def test_target_runs_on_the_statistics_of_its_batch(byol: Any, views_of: Build) -> None:
    image = views_of(byol).views[0]
    inputs = byol.target_projector[0](byol.target_encoder(image).mean(dim=1))
    norm = byol.target_projector[1]
    own = (inputs - inputs.mean(dim=0)) / (inputs.var(dim=0, correction=0) + norm.eps).sqrt()
    torch.testing.assert_close(norm(inputs), own * norm.weight + norm.bias, atol=1e-5, rtol=1e-5)


def test_predictor_is_on_the_online_side_alone_and_the_ema_is_byols(byol: Any) -> None:
    online = {id(module) for pair in byol.ema_pairs() for module in pair}
    assert id(byol.predictor) not in online
    assert byol.eval_encoder is byol.encoder
    assert byol.ema == (0.996, 1.0)
    assert [type(layer) for layer in byol.predictor] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]


def test_the_trainer_moves_the_target(tiny_method: Build, shapes: Build, quiet_trainer: Build) -> None:
    model = tiny_method("BYOL", ema=(0.5, 0.5))
    before = [p.clone() for p in model.target_projector.parameters()]
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(model, shapes())
    (ema,) = [callback for callback in trainer.callbacks if isinstance(callback, EMACallback)]
    assert (ema.start, ema.end) == (0.5, 0.5)
    pairs = zip(before, model.projector.parameters(), model.target_projector.parameters(), strict=True)
    for old, online, target in pairs:
        torch.testing.assert_close(target, (old + online) / 2)


def test_one_view_is_always_blurred_and_the_other_sometimes_solarized(tiny_method: Build) -> None:
    first, second = tiny_method("BYOL").augmentations()
    assert (first.blur, first.solarize) == (1.0, 0.0)
    assert (second.blur, second.solarize) == (0.1, 0.2)
