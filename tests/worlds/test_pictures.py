import numpy as np

from jepa_lightning.worlds.pictures import draw_rooms
from jepa_lightning.worlds.rooms import Rooms


def test_pictures_show_agent_goal_and_walls() -> None:
    rooms = Rooms(2, "test")
    given = {"position": (10, 20), "goal": (50, 30), "wall": 30, "door": 40}
    rooms.reset([np.random.default_rng(seed) for seed in (0, 1)], given)
    pictures = draw_rooms(rooms)
    assert pictures.shape == (2, 260, 260, 3)
    assert np.array_equal(pictures[0], pictures[1])
    places = {"agent": (10, 20), "circle": (54.5, 30), "wall": (30, 20), "floor": (20, 50), "door": (30, 40)}
    at = {name: pictures[0, int(4 * y + 2), int(4 * x + 2)].tolist() for name, (x, y) in places.items()}
    assert (at["wall"], at["floor"], at["door"], at["agent"]) == ([0] * 3, [255] * 3, [255] * 3, [200, 30, 40])
    assert at["circle"][1] > at["circle"][0] + 50
