"""Environments to act and to plan in, registered with gymnasium (the extra ``worlds``) where that is installed.

``import jepa_lightning.worlds``, then ``gymnasium.make("jepa_lightning/TwoRooms-v0")``.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jepa_lightning.worlds.images import ImageWorld as ImageWorld
    from jepa_lightning.worlds.making import make_world as make_world
    from jepa_lightning.worlds.two_rooms_env import TwoRooms as TwoRooms
    from jepa_lightning.worlds.two_rooms_vector import TwoRoomsVector as TwoRoomsVector

__all__ = ["ImageWorld", "TwoRooms", "TwoRoomsVector", "make_world"]
# imported when they are asked for, since they need gymnasium
MODULES = {
    "ImageWorld": "images",
    "TwoRooms": "two_rooms_env",
    "TwoRoomsVector": "two_rooms_vector",
    "make_world": "making",
}


def _register() -> None:
    import gymnasium

    gymnasium.register(
        "jepa_lightning/TwoRooms-v0",
        entry_point="jepa_lightning.worlds.two_rooms_env:TwoRooms",
        vector_entry_point="jepa_lightning.worlds.two_rooms_vector:TwoRoomsVector",
        max_episode_steps=200,
    )


# data of two rooms need no gymnasium
if find_spec("gymnasium") is not None:
    _register()


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("gymnasium") is None:
        raise ModuleNotFoundError(f"{name} needs gymnasium: pip install 'jepa_lightning[worlds]'", name="gymnasium")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
