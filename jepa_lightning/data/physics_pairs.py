# T frames, C channels, H W height and width
"""Pairs of a possible and an impossible clip of the small world."""

import random
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from jepa_lightning.data.drawing import SHAPES
from jepa_lightning.data.physics import draw_labels, render
from jepa_lightning.data.physics_scenes import OCCLUDER, WALL, between, inside, keep_off, main_body
from jepa_lightning.data.physics_world import GRAVITY, Body, Draw, Scene, simulate
from jepa_lightning.data.shapes import VAL_OFFSET

Violation = Literal["vanish", "teleport", "shape", "wall", "upward"]
VIOLATIONS: tuple[Violation, ...] = ("vanish", "teleport", "shape", "wall", "upward")


class ViolationPair(NamedTuple):
    """Two clips that are the same up to the frame in which one of them breaks a law.

    Attributes:
        possible: uint8 ``[T, 3, H, W]``.
        impossible: uint8 ``[T, 3, H, W]``.
        violation: the law that is broken.
        onset: first frame that shows it.
    """

    possible: Tensor
    impossible: Tensor
    violation: Violation
    onset: int


class _Drawn(NamedTuple):
    """A pair before it is painted: its scene and the twin's, when bodies fall upward, and a seed of the shades."""

    violation: Violation
    own: Scene
    other: Scene
    when: int
    tones: int


class ViolationDataset(Dataset[ViolationPair]):
    """Pairs of a possible and an impossible clip, two of a kind of violation in turn; for evaluation only.

    Such two are twins: the impossible clips go on as the possible one of the other does. A body goes behind a bar and
    does not come out (``vanish``), or comes out and has not gone in; comes out higher or lower (``teleport``) or of
    another shape (``shape``), and the other way round; passes through a ``wall``, or turns where there is none. So what
    judges the past and the future apart, such as a liking for empty scenes, is right in half of them. Bodies that begin
    to fall ``upward`` have no twins.

    Source: the matched sets of IntPhys, arXiv 1803.07616.

    Args:
        size: number of pairs.
        num_frames: T, at least 12.
        image_size: pixels per side.
        seed: another one gives other pairs.

    Raises:
        ValueError: if the clips are too short to show a violation.
    """

    def __init__(self, size: int, num_frames: int = 16, image_size: int = 48, seed: int = 0) -> None:
        if num_frames < 12:
            raise ValueError(f"num_frames={num_frames} is too short for a violation to be seen: give at least 12.")
        self.size, self.num_frames, self.image_size, self.seed = size, num_frames, image_size, seed

    def __len__(self) -> int:
        """Number of pairs."""
        return self.size

    def __getitem__(self, index: int) -> ViolationPair:
        """One pair; nothing in it is in the training or validation clips."""
        drawn = self._draw(index)
        possible = self._clip(drawn.own, drawn.own, drawn.tones)
        if drawn.violation == "upward":
            impossible = self._clip(drawn.own, drawn.own, drawn.tones, drawn.when)
        elif drawn.violation == "wall":
            impossible = self._clip(drawn.own, drawn.other, drawn.tones)
        else:
            # from here on the two cannot be told apart for a while
            hidden = drawn.own if drawn.own.bodies else drawn.other
            first = hidden_from(hidden, self.num_frames)
            impossible = torch.cat([possible[:first], self._clip(drawn.other, drawn.other, drawn.tones)[first:]])
        differ = (possible != impossible).flatten(1).any(dim=1)
        return ViolationPair(possible, impossible, drawn.violation, int(differ.float().argmax()))

    def possible(self, index: int) -> Tensor:
        """The possible clip of a pair, without the cost of the other."""
        drawn = self._draw(index)
        return self._clip(drawn.own, drawn.own, drawn.tones)

    def _draw(self, index: int) -> _Drawn:
        if not 0 <= index < self.size:
            raise IndexError(f"pair {index} of {self.size}")
        violation = VIOLATIONS[index // 2 % len(VIOLATIONS)]
        number = index if violation == "upward" else index - index % 2  # twins are drawn alike
        draw = random.Random((self.seed << 40) + 2 * VAL_OFFSET + number).random
        scene = draw_scene_for(violation, draw_labels(draw), self.num_frames, draw)
        when = self.num_frames * 3 // 8 + int(draw() * self.num_frames / 4)
        own, other = (scene, twin(scene, violation))[:: -1 if index % 2 else 1]
        return _Drawn(violation, own, other, when, tones=int(draw() * (1 << 40)))

    def _clip(self, scene: Scene, moves: Scene, tones: int, upward_from: int | None = None) -> Tensor:
        """What is seen of a scene in which bodies move as in another one."""
        motion = simulate(moves, self.num_frames, upward_from)
        return render(scene, motion, self.num_frames, self.image_size, random.Random(tones).random)


def draw_scene_for(violation: Violation, labels: dict[str, int], num_frames: int, draw: Draw) -> Scene:
    """A scene with one body, in which the law can be broken where it is seen.

    Args:
        violation: the law.
        labels: shape and colour of the body, its speed and direction, the last two as far as the law leaves them free.
        num_frames: of the clip.
        draw: numbers in [0, 1).
    """
    if violation == "upward":
        main = main_body(labels | {"speed": max(1, labels["speed"])}, num_frames, draw)
        main.y, main.vy = 0.2 + 0.1 * draw(), 0.0
        return Scene((main,), GRAVITY)
    # level, and past the middle before the end; in front of a wall there is less of the way left
    hides = violation != "wall"
    main = main_body(labels | {"direction": 4 * int(draw() * 2), "speed": 2 if hides else 1}, num_frames, draw)
    middle = between(0.5, OCCLUDER if hides else WALL)
    reach = 0.15 + 0.05 * draw() if hides else main.radius + abs(main.vx) * num_frames * (0.3 + 0.15 * draw())
    main.x = inside(middle[0] - reach if main.vx > 0 else middle[1] + reach, main.radius)
    if hides:
        return Scene((main,), occluder=middle)
    keep_off(main, middle)
    return Scene((main,), wall=middle)


def twin(scene: Scene, violation: Violation) -> Scene:
    """The scene that another's breach of the law would have come from."""
    (main,) = scene.bodies
    if violation == "vanish":
        return replace(scene, bodies=())
    if violation == "wall":
        return replace(scene, bodies=(replace(main, left=0.0, right=1.0),), wall=None)
    if violation == "upward":
        return scene
    if violation == "shape":
        return replace(scene, bodies=(replace(main, shape=(main.shape + 1) % len(SHAPES)),))
    # half the way up or down that it has, and back in at the other end
    room = 1 - 2 * main.radius
    return replace(scene, bodies=(replace(main, y=main.radius + (main.y - main.radius + room / 2) % room),))


def hidden_from(scene: Scene, num_frames: int) -> int:
    """The first frame in which the body of a scene is all behind the bar; num_frames if there is none."""
    (states,) = simulate(scene, num_frames).states
    return next((frame for frame, state in enumerate(states) if _hides(scene, scene.bodies[0], state.x)), num_frames)


def _hides(scene: Scene, body: Body, x: float) -> bool:
    return scene.occluder is not None and scene.occluder[0] < x - body.radius and x + body.radius < scene.occluder[1]
