"""Environments to act and to plan in, registered with gymnasium (the extra ``worlds``) where that is installed.

``import jepa_lightning.worlds``, then ``gymnasium.make("jepa_lightning/TwoRooms-v0")``.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jepa_lightning.worlds.two_rooms_env import TwoRooms as TwoRooms
    from jepa_lightning.worlds.two_rooms_vector import TwoRoomsVector as TwoRoomsVector

__all__ = ["TwoRooms", "TwoRoomsVector"]


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
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("gymnasium") is None:
        raise ModuleNotFoundError(f"{name} needs gymnasium: pip install 'jepa_lightning[worlds]'", name="gymnasium")
    if name == "TwoRooms":
        from jepa_lightning.worlds.two_rooms_env import TwoRooms

        return TwoRooms
    from jepa_lightning.worlds.two_rooms_vector import TwoRoomsVector

    return TwoRoomsVector
