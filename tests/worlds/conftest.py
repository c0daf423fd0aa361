import warnings
from typing import Any

import pytest


@pytest.fixture
def point_maze() -> Any:
    """The maze, where MuJoCo can draw it."""
    pytest.importorskip("gymnasium_robotics", reason="needs gymnasium-robotics")
    from jepa_lightning.worlds import make_world

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return make_world("PointMaze")
        except Exception as error:
            pytest.skip(f"MuJoCo cannot draw here: {error}")
