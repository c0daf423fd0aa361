from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from jepa_lightning import WorldModel
from jepa_lightning.data import TwoRoomsDataModule
from jepa_lightning.nn import ImpalaEncoder
from jepa_lightning.types import Batch


class Echo(LightningModule):
    """Hands out its input as features, so that a test decides what a probe sees."""

    def __init__(self, give_features: bool = True) -> None:
        super().__init__()
        self.weight = nn.Linear(1, 1)
        self.drop = nn.Dropout(0.5)
        self.give_features = give_features

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        features = batch.views[0] if self.give_features else None
        return {"loss": self.weight(torch.ones(1)).sum(), "features": features}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        return {"features": batch.views[0]}

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Tokens(Echo):
    """Hands out its input as tokens too, and notes each call of the encoder."""

    def __init__(self, give_tokens: bool = True) -> None:
        super().__init__()
        self.give_tokens = give_tokens
        self.calls: list[Any] = []

    def forward(self, x: Tensor, layers: Sequence[int] | None = None, pool: bool = True) -> Tensor:
        self.calls.append((layers, pool, self.training, torch.is_grad_enabled()))
        return x if layers is None else torch.cat([x + layer for layer in layers], dim=-1)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        x = batch.views[0]
        tokens = x if self.give_tokens else None
        return {"loss": self.weight(torch.ones(1)).sum(), "features": x.mean(1), "tokens": tokens}

    validation_step = training_step


class Table(LightningDataModule):
    """Rows of features with their labels, in order."""

    def __init__(self, train: tuple[Tensor, Any], val: tuple[Tensor, Any], num_classes: Any, batch_size: int) -> None:
        super().__init__()
        self.train, self.val, self.num_classes, self.batch_size = train, val, num_classes, batch_size

    def loader(self, features: Tensor, labels: Any) -> DataLoader[Any]:
        def collate(rows: list[int]) -> Batch:
            if isinstance(labels, dict):
                return Batch([features[rows]], labels={name: values[rows] for name, values in labels.items()})
            return Batch([features[rows]], labels=None if labels is None else labels[rows])

        return DataLoader(range(len(features)), self.batch_size, collate_fn=collate)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader(*self.train)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader(*self.val)

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader(*self.val)

    def memory_dataloader(self) -> DataLoader[Any]:
        return self.loader(*self.train)


@pytest.fixture
def echo() -> Callable[..., Echo]:
    return Echo


@pytest.fixture
def token_echo() -> Callable[..., Tokens]:
    return Tokens


@pytest.fixture
def table() -> Callable[..., Table]:
    return Table


@pytest.fixture
def clusters() -> Callable[..., tuple[Tensor, Tensor]]:
    """Features of as many well separated clusters as there are classes, and their labels."""

    def build(size: int, classes: int = 3, width: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
        centers = 4 * torch.randn(classes, width, generator=torch.Generator().manual_seed(9))
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, classes, (size,), generator=generator)
        return centers[labels] + torch.randn(size, width, generator=generator), labels

    return build


@pytest.fixture
def places() -> Callable[..., tuple[Tensor, Tensor]]:
    """Tokens that know where they are, one of them with a mark, and which one it is: their mean is always the same."""

    def build(size: int, classes: int = 4, width: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
        fixed = torch.Generator().manual_seed(9)
        where, mark = torch.randn(classes, width, generator=fixed), 2 * torch.randn(width, generator=fixed)
        generator = torch.Generator().manual_seed(seed)
        tokens = where + 0.2 * torch.randn(size, classes, width, generator=generator)
        place = torch.randint(0, classes, (size,), generator=generator)
        tokens[torch.arange(size), place] += mark
        return tokens, place

    return build


@pytest.fixture
def mixed(clusters: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """Features with a label of each kind, all of which a linear probe can read; the first five samples have none."""

    def build(size: int, seed: int = 0, width: int = 8) -> tuple[Tensor, dict[str, Tensor]]:
        features, classes = clusters(size, width=width, seed=seed)
        axes = torch.randn(width, 5, generator=torch.Generator().manual_seed(4))
        place = features @ axes[:, :2] * torch.tensor([1.0, 50.0]) + torch.tensor([0.0, 1000.0])
        tags = (features @ axes[:, 2:] > 0).long()
        classes[:5], place[:5], tags[:5] = -1, torch.nan, -1
        return features, {"cluster": classes, "place": place, "tags": tags}

    return build


@pytest.fixture
def loader() -> Callable[[list[Batch]], DataLoader[Any]]:
    """A loader of batches that are ready."""

    def build(batches: list[Batch]) -> DataLoader[Any]:
        return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)

    return build


@pytest.fixture
def rooms() -> Callable[..., TwoRoomsDataModule]:
    """Few short walks through two rooms."""

    def build(**options: Any) -> TwoRoomsDataModule:
        return TwoRoomsDataModule(**{"num_train": 8, "num_val": 4, "num_frames": 3, "batch_size": 4, **options})

    return build


@pytest.fixture
def tiny_world() -> Callable[..., WorldModel]:
    """A world model of two rooms with few channels."""

    def build(**options: Any) -> WorldModel:
        torch.manual_seed(0)
        encoder = ImpalaEncoder((65, 65), in_channels=2, width=8, channels=[2, 2, 2])
        return WorldModel(encoder, **{"num_frames": 3, "rollout_steps": 2, "inverse_hidden": 8, **options})

    return build
