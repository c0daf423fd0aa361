# S samples, D width
"""Procedural scenes that are rendered once for many runs, and a probe on them."""

from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from jepa_lightning import JEPAModule
from jepa_lightning.data import ShapesDataset
from jepa_lightning.probing.linear import linear_probe


class Scenes:
    """Rendered scenes.

    Args:
        size: S.
        offset: index of the first one.

    Attributes:
        images: uint8 ``[S, 3, H, W]``.
        labels: int64 ``[S]`` by name.
    """

    def __init__(self, size: int, offset: int) -> None:
        dataset = ShapesDataset(size, offset=offset)
        samples = [dataset[i] for i in range(size)]
        self.images = torch.stack([image for image, _, _ in samples])
        self.labels = {name: torch.tensor([labels[name] for _, labels, _ in samples]) for name in samples[0][1]}

    def shown(self, module: JEPAModule) -> Tensor:
        """Views ``[S, 3, H, W]`` without random draws, as a module takes them."""
        view = module.pipeline().eval_transform
        return torch.stack([view(image)[0] for image in self.images])


class Views(Dataset[Any]):
    """Training views of rendered scenes."""

    def __init__(self, scenes: Scenes, module: JEPAModule) -> None:
        self.images, self.transform = scenes.images, module.pipeline().transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.images[index])


class SceneProbe:
    """A linear classifier of each label, fitted on some scenes and scored on others.

    Args:
        module: whose view of the scenes is taken.
        train: to fit on.
        val: to score.
    """

    def __init__(self, module: JEPAModule, train: Scenes, val: Scenes) -> None:
        self.views, self.labels = (train.shown(module), val.shown(module)), (train.labels, val.labels)

    def __call__(self, encoder: nn.Module) -> dict[str, float]:
        """Accuracy of shapes, and mean accuracy over all labels."""
        train, val = (encoder(views).float().mean(dim=1) for views in self.views)
        accuracy = linear_probe(train, self.labels[0], val, self.labels[1])
        return {"shape": accuracy["shape"], "labels": mean(accuracy.values())}
