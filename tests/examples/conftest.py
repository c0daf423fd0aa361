from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torchvision.transforms.v2.functional import to_pil_image

from jepa_lightning.data import ShapesDataset

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """An example as a module, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))  # as for a script: examples import from each other
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))

    def load(name: str) -> ModuleType:
        spec: Any = spec_from_file_location(Path(name).stem, EXAMPLES / name)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """JPEG and PNG files in two classes."""
    scenes = ShapesDataset(24, image_size=40)
    for i in range(len(scenes)):
        path = tmp_path / "images" / ("even", "odd")[i % 2] / f"{i}.{('jpg', 'png')[i % 4 // 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        to_pil_image(scenes[i][0]).save(path)
    return tmp_path / "images"
