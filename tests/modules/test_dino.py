import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from jepa_lightning.types import Batch

Build = Callable[..., Any]


@pytest.fixture
def dino(tiny_method: Build) -> Build:
    """One whose teacher differs from its student, and whose center is not at 0."""

    def build(**options: Any) -> Any:
        model = tiny_method("DINO", **options)
        with torch.no_grad():
            for _, target in model.ema_pairs():
                for parameter in target.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
            model.centre.value.normal_(std=0.1)
        return model

    return build


def teacher_logits(model: Any, batch: Batch) -> list[Tensor]:
    with torch.no_grad():
        return [model.target_head(model.target_encoder(view).mean(dim=1)).double() for view in batch.views[:2]]


def cross_entropy(model: Any, batch: Batch, assigned: list[Tensor]) -> Tensor:
    """The mean over all pairs of a global view and another view, sample by sample."""
    terms = []
    for j, view in enumerate(batch.views):
        logits = model.head(model.encoder(view).mean(dim=1)).double() / model.student_temperature
        for i, target in enumerate(assigned):
            if i != j:
                each = [-(p * (row - torch.logsumexp(row, 0))).sum() for p, row in zip(target, logits, strict=True)]
                terms.append(torch.stack(each).mean())
    assert len(terms) == 2 * (len(batch.views) - 1)
    return torch.stack(terms).mean()


@pytest.mark.parametrize(
    ("progress", "temperature"), [(0.0, 0.04), (0.15, 0.055), (0.225, 0.0625), (0.3, 0.07), (1.0, 0.07)]
)
def test_objective_with_the_teachers_temperature_over_the_run(
    dino: Build, views_of: Build, progress: float, temperature: float
) -> None:
    model = dino()
    batch = views_of(model, size=6)
    center = model.centre.value.double()
    assigned = [((logits - center) / temperature).softmax(dim=1) for logits in teacher_logits(model, batch)]
    output = model.objective(batch, progress)
    expected = cross_entropy(model, batch, assigned)
    torch.testing.assert_close(output.loss.double(), expected, atol=1e-4, rtol=1e-5)
    entropy = torch.stack([-(p * p.log()).sum(dim=1) for p in assigned]).mean()
    torch.testing.assert_close(output.logs["teacher_entropy"].double(), entropy, atol=1e-4, rtol=1e-5)


def test_without_a_warm_up_the_temperature_is_the_last_one(dino: Build, views_of: Build) -> None:
    model = dino(teacher_warmup=0.0).eval()
    batch = views_of(model)
    assert torch.equal(model.objective(batch, 0.0).loss, model.objective(batch, 1.0).loss)


def test_objective_with_an_equal_share_for_each_prototype(dino: Build, views_of: Build) -> None:
    model = dino(assignment="sinkhorn", center_momentum=0.9)
    batch = views_of(model, size=6)
    assigned = []
    for logits in teacher_logits(model, batch):  # three rounds, each view for itself, and no center
        shares = (logits / 0.07).exp()
        for _ in range(3):
            shares = shares / shares.sum(dim=0, keepdim=True)
            shares = shares / shares.sum(dim=1, keepdim=True)
        assigned.append(shares)
    loss = model.objective(batch, 1.0).loss
    torch.testing.assert_close(loss.double(), cross_entropy(model, batch, assigned), atol=1e-4, rtol=1e-5)


def test_the_center_moves_after_it_was_used_and_only_where_it_is(dino: Build, views_of: Build) -> None:
    model = dino(center_momentum=0.9)
    batch = views_of(model)
    start = model.centre.value.clone()
    model.eval().objective(batch, 0.0)
    assert torch.equal(model.centre.value, start)
    model.train().objective(batch, 0.0)
    mean = torch.cat(teacher_logits(model, batch)).mean(dim=0).float()
    torch.testing.assert_close(model.centre.value, 0.9 * start + 0.1 * mean)
    other = dino(assignment="sinkhorn", center_momentum=0.9)
    other.objective(batch, 0.0)
    assert torch.equal(other.centre.value, start)


def test_energy_is_the_cross_entropy_of_both_assignments(dino: Build, views_of: Build) -> None:
    model = dino().eval()
    first, second = views_of(model, size=4).views[:2]
    center = model.centre.value.double()
    (_, teacher) = teacher_logits(model, Batch([first, second]))
    student = model.head(model.encoder(first).mean(dim=1)).double() / 0.1
    assigned = ((teacher - center) / 0.07).softmax(dim=1)
    expected = -(assigned * student.log_softmax(dim=1)).sum(dim=1)
    energy = model.energy(Batch([first, second]))
    torch.testing.assert_close(energy.double(), expected, atol=1e-4, rtol=1e-5)


def test_the_teacher_is_evaluated(dino: Build) -> None:
    model = dino().eval()
    assert model.eval_encoder is model.target_encoder
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), model.target_encoder(images).mean(dim=1))
    assert not torch.allclose(model(images), model.encoder(images).mean(dim=1))


@pytest.mark.parametrize(("length", "share"), [(1, 0.25), (0.5, 0.5), ("3 steps", 0.75), ("1 epoch", 1.0), (0, 0.0)])
def test_the_rise_of_the_teachers_temperature_is_a_length_like_any_other(
    tiny_method: Build, views_of: Build, shapes: Build, quiet_trainer: Build, length: Any, share: float
) -> None:
    model = tiny_method("DINO", teacher_warmup=length)
    quiet_trainer(max_steps=4, limit_val_batches=0).fit(model, shapes())  # 4 steps an epoch
    logits = torch.randn(4, 32)
    for progress in (0.0, 0.1, 0.25, 0.5, 1.0):
        temperature = 0.04 + 0.03 * (min(1.0, progress / share) if share else 1.0)
        expected = torch.softmax((logits - model.centre.value) / temperature, dim=1)
        torch.testing.assert_close(model._assign(logits, progress), expected)


def test_the_trainer_leaves_prototypes_alone_for_an_epoch(
    tiny_method: Build, shapes: Build, quiet_trainer: Build
) -> None:
    seen = []

    class Recorder(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            head = pl_module.head
            seen.append((head.prototypes.weight.detach().clone(), head.mlp[0].weight.detach().clone()))

    model = tiny_method("DINO", lr=0.01, start_lr=0.01, freeze_prototypes="1 epoch")
    start = model.head.prototypes.weight.detach().clone()
    quiet_trainer(max_steps=3, callbacks=[Recorder()]).fit(model, shapes(num_train=32))  # 2 steps an epoch
    assert [torch.equal(prototypes, start) for prototypes, _ in seen] == [True, True, False]
    assert not torch.equal(seen[0][1], seen[1][1])


@pytest.mark.parametrize(("text", "frozen"), [("2 steps", 2), ("50%", 2), ("1 epoch", 4), ("0 steps", 0)])
def test_prototypes_are_left_alone_for_a_part_of_a_single_epoch(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, text: str, frozen: int
) -> None:
    seen = []

    class Recorder(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            seen.append(pl_module.head.prototypes.weight.detach().clone())

    model = tiny_method("DINO", lr=0.01, start_lr=0.01, freeze_prototypes=text)
    start = model.head.prototypes.weight.detach().clone()
    trainer = quiet_trainer(max_steps=4, callbacks=[Recorder()], limit_val_batches=0)
    with pytest.warns(UserWarning, match="keeps the prototypes as they are in all 4 steps") if frozen == 4 else quiet():
        trainer.fit(model, shapes())  # 4 steps an epoch
    assert [torch.equal(prototypes, start) for prototypes in seen] == [step < frozen for step in range(4)]


@contextmanager
def quiet() -> Iterator[None]:
    """No warning about prototypes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*prototypes")
        yield


def test_prototypes_that_never_train_within_a_long_epoch_are_warned_about(
    tiny_method: Build, shapes: Build, quiet_trainer: Build
) -> None:
    trainer = quiet_trainer(max_steps=2, limit_val_batches=0)
    with pytest.warns(UserWarning, match=r"DINO\(freeze_prototypes='1 epoch'\) keeps .* all 2 steps of this run"):
        trainer.fit(tiny_method("DINO", freeze_prototypes="1 epoch"), shapes())
    for options in ({}, {"freeze_prototypes": 0}, {"freeze_prototypes": "1 step"}):
        with quiet():
            quiet_trainer(max_steps=2, limit_val_batches=0).fit(tiny_method("DINO", **options), shapes())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze_prototypes": "long"}, "freeze_prototypes 'long' is not understood"),
        ({"teacher_warmup": "long"}, "teacher_warmup 'long' is not understood"),
        ({"assignment": "sinkhron"}, "there is no assignment 'sinkhron': choose one of centering, sinkhorn"),
    ],
)
def test_options_that_make_no_sense_are_named(tiny_method: Build, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_method("DINO", **options)
