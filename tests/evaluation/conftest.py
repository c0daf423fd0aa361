from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.tasks import Settings, tasks_of


def table(features: torch.Tensor, **labels: torch.Tensor) -> Table:
    return Table({"last": features.numpy(), "last4": torch.cat([features, features.square()], 1).numpy()}, labels)


@pytest.fixture
def tables() -> tuple[Table, Table]:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (700,), generator=generator)
    features = torch.randn(700, 10, generator=generator) + torch.randn(4, 10, generator=generator)[target] * 0.8
    value = features[:, :2] * 3 + 0.1 * torch.randn(700, 2, generator=generator)
    tags = torch.stack([target > 1, target == 3], dim=1).long()
    rows = {"kind": target, "value": value, "tags": tags}
    return (
        table(features[:400], **{name: each[:400] for name, each in rows.items()}),
        table(features[400:], **{name: each[400:] for name, each in rows.items()}),
    )


@pytest.fixture
def found() -> Callable[..., dict[str, Any]]:
    """What a protocol finds for each label of two tables."""

    def run(tables: tuple[Table, Table], protocol: Any, **names: list[str]) -> dict[str, Any]:
        settings = Settings(class_names=names)
        return {task.name: protocol(task, *tables, settings) for task in tasks_of(*tables, seed=0)}

    return run


@pytest.fixture
def counts() -> tuple[Table, Table]:
    """A count that is in the features, as their largest number and as a sum, and a value."""
    torch.manual_seed(0)
    target = torch.arange(500) % 4
    features = (
        torch.randn(500, 6) + 1.5 * torch.eye(4, 6)[target] + target[:, None] * torch.tensor([0, 0, 0, 0, 0, 1.0])
    )
    rows = {"count": target, "far": features[:, 0] * 5 + 7}
    train = Table({"last": features[:400].numpy()}, {name: each[:400] for name, each in rows.items()})
    return train, Table({"last": features[400:].numpy()}, {name: each[400:] for name, each in rows.items()})
