"""The built-in images in two halves without a common image: one to choose on, and one to report on."""

from collections.abc import Callable
from typing import Any

from torch.utils.data import Dataset, Subset

from jepa_lightning.data import DigitsDataModule, JEPADataModule, ShapesDataModule
from jepa_lightning.data.procedural.shapes import SHAPES_CLASS_NAMES, ShapesDataset

STYLES = SHAPES_CLASS_NAMES["background"]
ONE_STYLE = ("plain",)


class WithoutStyle(Dataset[Any]):
    """Scenes of some styles, with all labels but the style.

    Args:
        scenes: of all styles.
        styles: names of those that are kept.
    """

    def __init__(self, scenes: ShapesDataset, styles: tuple[str, ...]) -> None:
        numbers = {STYLES.index(style) for style in styles}
        self.scenes = scenes
        self.chosen = [i for i in range(len(scenes)) if scenes.labels(i)["background"] in numbers]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Any:
        image, labels, path = self.scenes[self.chosen[index]]
        return image, {name: label for name, label in labels.items() if name != "background"}, path


class ScenesOfStyles(ShapesDataModule):
    """About ``num_train`` scenes on backgrounds of some styles."""

    def __init__(self, styles: tuple[str, ...], num_train: int = 4096, num_val: int = 512, **options: Any) -> None:
        share = len(styles) / len(STYLES)
        super().__init__(round(num_train / share), round(num_val / share), **options)
        self.styles = styles

    @property
    def num_classes(self) -> dict[str, int]:
        """Number of classes of each label but the style."""
        return {name: number for name, number in super().num_classes.items() if name != "background"}

    def build_datasets(self) -> Any:
        """Scenes of the styles."""
        train, val = super().build_datasets()
        return WithoutStyle(train, self.styles), WithoutStyle(val, self.styles)


class HalfOfDigits(DigitsDataModule):
    """Every second digit of the training and of the validation images."""

    def __init__(self, half: int, **options: Any) -> None:
        super().__init__(val_fraction=0.4, **options)
        self.half = half

    def build_datasets(self) -> Any:
        """Every second image of both parts."""
        return tuple(Subset(each, range(self.half, len(each), 2)) for each in super().build_datasets())


OTHER_STYLES = tuple(style for style in STYLES if style not in ONE_STYLE)
HALVES: dict[str, dict[str, Callable[..., JEPADataModule]]] = {
    "choice": {
        "digits": lambda **options: HalfOfDigits(0, **options),
        "scenes": lambda **options: ScenesOfStyles(ONE_STYLE, **options),
    },
    "report": {
        "digits": lambda **options: HalfOfDigits(1, **options),
        "scenes": lambda **options: ScenesOfStyles(OTHER_STYLES, **options),
    },
}
