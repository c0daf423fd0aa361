from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra worlds")
from gymnasium import spaces  # noqa: E402

from jepa_lightning.worlds import ImageWorld  # noqa: E402

IMAGE = spaces.Box(0, 255, (4, 6, 3), np.uint8)
NUMBERS = spaces.Box(-1, 1, (2,), np.float64)


class Still(gymnasium.Env[Any, Any]):
    """Observes what it was told to, and draws a gray picture where it may."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012

    def __init__(self, space: Any, render_mode: str | None = None, info: Any = None, action: Any = NUMBERS) -> None:
        self.observation_space, self.render_mode, self.info, self.action_space = space, render_mode, info or {}, action

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(3)
        self.now = self.observation_space.sample()
        return self.now, self.info

    def step(self, action: Any) -> Any:
        return self.now, 0.5, False, False, self.info

    def render(self) -> Any:
        return np.full((5, 7, 3), 9, np.uint8) if self.render_mode else None


def test_images_that_are_observed() -> None:
    world = ImageWorld(Still(IMAGE, info={"position": np.array([1.0, 2.0])}))
    image, info = world.reset()
    assert np.array_equal(image, world.unwrapped.now)
    assert info["state"].tolist() == [1, 2]
    assert world.observation_space == IMAGE
    image, reward, *_, info = world.step([0, 0])
    assert (image.shape, reward, info["state"].tolist()) == ((4, 6, 3), 0.5, [1, 2])


def test_gray_images_have_one_channel_and_no_state_is_an_empty_one() -> None:
    world = ImageWorld(Still(spaces.Box(0, 255, (4, 6), np.uint8)))
    image, info = world.reset()
    assert image.shape == world.observation_space.shape == (4, 6, 1)
    assert info["state"].shape == (0,)


def test_images_among_other_observations() -> None:
    space = spaces.Dict({"pixels": IMAGE, "speed": NUMBERS, "angle": spaces.Box(0, 1, (), np.float32)})
    world = ImageWorld(Still(space))
    image, info = world.reset()
    now = world.unwrapped.now
    assert np.array_equal(image, now["pixels"])
    np.testing.assert_allclose(info["state"], [now["angle"], *now["speed"]])


def test_images_that_are_drawn() -> None:
    world = ImageWorld(Still(NUMBERS, render_mode="rgb_array"))
    image, info = world.reset()
    assert image.tolist() == np.full((5, 7, 3), 9).tolist()
    assert world.observation_space.shape == (5, 7, 3)
    np.testing.assert_array_equal(info["state"], world.unwrapped.now)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Still(NUMBERS), r"Still has no images: it observes Box\(-1.0, 1.0, \(2,\), float64\), and does not draw them"),
        (Still(IMAGE, action=spaces.Discrete(3)), r"has actions Discrete\(3\), and those of a world model are vectors"),
        (Still(IMAGE, action=spaces.Box(0, 1, (2, 2))), "has actions Box"),
    ],
)
def test_what_cannot_be_seen_or_acted_in_is_refused(env: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageWorld(env)
