from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def fit(tiny_ijepa: Any, shapes: Any, quiet_trainer: Any) -> Callable[..., Any]:
    """Trains a tiny I-JEPA for two steps with some callbacks and gives the Trainer."""

    def run(*callbacks: Any, module: Any = None, data: Any = None, ckpt_path: Any = None, **options: Any) -> Any:
        trainer = quiet_trainer(callbacks=list(callbacks), **{"max_steps": 2, "num_sanity_val_steps": 0, **options})
        trainer.fit(module or tiny_ijepa(), datamodule=data or shapes(num_train=32), ckpt_path=ckpt_path)
        return trainer

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[], list[str]]:
    """Pictures of a run, as paths in its folder."""

    def found() -> list[str]:
        files = (path for path in (tmp_path / "pictures").rglob("*") if path.is_file())
        return sorted(path.relative_to(tmp_path / "pictures").as_posix() for path in files)

    return found


@pytest.fixture
def pixels(tmp_path: Path) -> Callable[[str], Any]:
    """The colors of a picture, by its path in the folder."""
    return lambda name: np.asarray(Image.open(tmp_path / "pictures" / name).convert("RGB"))


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """LightningModules that know nothing of this package."""
    spec: Any = spec_from_file_location("plain", Path(__file__).parents[1] / "plain.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
