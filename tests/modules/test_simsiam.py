from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.types import Batch

Build = Callable[..., Any]


def loss_by_hand(model: Any, batch: Batch, stop: bool) -> Tensor:
    """Algorithm 1 of the paper, plus 1."""
    projected = [model.projector(model.encoder(view).mean(dim=1)) for view in batch.views]
    predicted = [model.predictor(z) for z in projected]
    targets = [z.detach() if stop else z for z in projected]
    there, back = (F.normalize(predicted[i], dim=1) * F.normalize(targets[1 - i], dim=1) for i in (0, 1))
    return 1 - there.sum(dim=1).mean() / 2 - back.sum(dim=1).mean() / 2


def test_objective_and_its_gradient_are_those_of_the_paper(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("SimSiam")
    batch = views_of(model)
    trained = list(model.parameters())
    loss = model.objective(batch, 0.0).loss
    torch.testing.assert_close(loss, loss_by_hand(model, batch, stop=True), atol=1e-5, rtol=1e-5)
    found = torch.autograd.grad(loss, trained)
    stopped = torch.autograd.grad(loss_by_hand(model, batch, stop=True), trained)
    for one, other in zip(found, stopped, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    # and without the stop it would be another
    free = torch.autograd.grad(loss_by_hand(model, batch, stop=False), trained)
    unlike = max((one - other).norm() / one.norm() for one, other in zip(found, free, strict=True))
    assert unlike > 0.5


def test_energy_is_2_minus_2_cos_of_prediction_and_projection(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("SimSiam").eval()
    batch = views_of(model, size=4)
    first, second = (model.projector(model.encoder(view).mean(dim=1)) for view in batch.views)
    expected = 2 - 2 * F.cosine_similarity(model.predictor(first), second)
    torch.testing.assert_close(model.energy(batch), expected, atol=1e-5, rtol=1e-5)


def test_there_is_no_target_and_the_projection_ends_in_a_norm_without_scale_and_shift(tiny_method: Build) -> None:
    model = tiny_method("SimSiam")
    assert model.ema_pairs() == ()
    last = model.projector[-1]
    assert isinstance(last, nn.BatchNorm1d)
    assert not last.affine
    assert [layer.out_features for layer in model.projector if isinstance(layer, nn.Linear)] == [64, 64, 64]
    assert [layer.out_features for layer in model.predictor if isinstance(layer, nn.Linear)] == [32, 64]


@pytest.mark.parametrize("constant", [True, False])
def test_the_predictors_learning_rate_stays_at_its_peak_if_it_is_to(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, constant: bool
) -> None:
    options = {} if constant else {"constant_predictor_lr": False}  # the paper's by default
    model = tiny_method("SimSiam", lr=0.01, warmup=0, final_lr=1e-4, **options)
    trainer = quiet_trainer(max_steps=3, limit_val_batches=0)
    trainer.fit(model, shapes())
    rates = {group["name"]: group["lr"] for group in trainer.optimizers[0].param_groups}
    assert {"encoder", "projector", "predictor", "predictor-no_decay"} <= rates.keys()
    for name, rate in rates.items():
        assert rate == pytest.approx(0.01 if constant and name.startswith("predictor") else 1e-4), name
