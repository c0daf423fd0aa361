from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from jepa_lightning.callbacks.sources import Source, is_skipped


class Counts(nn.Module):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        assert not self.training
        assert not torch.is_grad_enabled()
        return x


def module() -> Any:
    made = LightningModule()
    made.backbone = Counts()
    return made.train()


def test_a_submodule_is_called_once_for_all_callbacks(quiet_trainer: Any) -> None:
    sources = [Source("A", "backbone"), Source("B", "backbone")]
    trainer, made, images = quiet_trainer(), module(), torch.randn(2, 8, 4, 4)
    trainer.callbacks = [SimpleNamespace(source=source) for source in sources]
    pooled = sources[0].pooled(trainer, made, None, (images, None))
    tokens = sources[1].tokens(trainer, made, None, (images, None))
    torch.testing.assert_close(pooled, images.mean((2, 3)))
    torch.testing.assert_close(tokens, images.flatten(2).transpose(1, 2))
    assert made.backbone.calls == 1
    sources[1].pooled(trainer, made, None, (images.clone(), None))
    assert made.backbone.calls == 2
    assert made.backbone.training


def test_what_the_step_returns_is_taken_first(quiet_trainer: Any) -> None:
    source, made, images = Source("A", "backbone"), module(), torch.randn(2, 8, 4, 4)
    given = torch.randn(2, 5, requires_grad=True)
    found = source.pooled(quiet_trainer(), made, {"backbone": given}, (images, None))
    assert torch.equal(found, given)
    assert not found.requires_grad
    # pooled features have no tokens left
    assert source.tokens(quiet_trainer(), made, {"backbone": given}, (images, None)).shape == (2, 16, 8)


def test_views_are_averaged_outside_of_training(quiet_trainer: Any) -> None:
    source, made = Source("A", "backbone", images="views"), module()
    views = [torch.randn(2, 8), torch.randn(2, 8)]
    trainer = quiet_trainer()
    trainer.validating = True
    torch.testing.assert_close(source.pooled(trainer, made, None, {"views": views}), (views[0] + views[1]) / 2)
    trainer.training = True
    assert torch.equal(source.pooled(trainer, made, None, {"views": views}), views[0])


def test_a_loss_of_none_skips_in_automatic_optimization_alone() -> None:
    made = LightningModule()
    assert is_skipped(made, {"loss": None})
    assert not is_skipped(made, {"loss": torch.zeros(())})
    made.automatic_optimization = False
    assert not is_skipped(made, {})


def test_features_are_not_shared_between_two_places_in_the_run(quiet_trainer: Any) -> None:
    source, trainer, made, images = Source("A", "backbone"), quiet_trainer(), module(), torch.randn(2, 8)
    trainer.callbacks = [SimpleNamespace(source=source)]
    trainer.training = True
    source.pooled(trainer, made, None, (images, None))
    source.pooled(trainer, made, None, (images, None))
    assert made.backbone.calls == 1
    # a data set may give the same tensor again, when the weights have changed
    trainer.validating = True
    source.pooled(trainer, made, None, (images, None))
    assert made.backbone.calls == 2


def test_features_are_computed_in_the_precision_of_the_trainer(quiet_trainer: Any) -> None:
    made = LightningModule()
    made.backbone = nn.Linear(8, 4)
    images = torch.randn(2, 8)
    for precision, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        found = Source("A", "backbone").pooled(quiet_trainer(precision=precision), made, None, (images, None))
        assert found.dtype == dtype


def test_tokens_of_all_views_and_features_that_are_not_shared(quiet_trainer: Any) -> None:
    source, trainer, made = Source("A", "backbone"), quiet_trainer(), module()
    trainer.callbacks = [SimpleNamespace(source=source)]
    views = [torch.randn(2, 8, 2, 2), torch.randn(2, 8, 2, 2)]
    expected = torch.cat([view.flatten(2).transpose(1, 2) for view in views], dim=1)
    assert torch.equal(source.encode(trainer, made, None, views, pool=False), expected)
    assert made.backbone.calls == 2
    # a network that has changed in the meantime is called again
    source.encode(trainer, made, None, views, shared=False)
    assert made.backbone.calls == 4
    source.forget()
    source.encode(trainer, made, None, views)
    assert made.backbone.calls == 6
