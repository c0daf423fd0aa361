# T frames, C channels, H W height and width
"""Pairs of a possible and an impossible clip of the small world."""

import random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from jepa_lightning.data.procedural.physics import draw_labels
from jepa_lightning.data.procedural.physics_render import render
from jepa_lightning.data.procedural.physics_violations import VIOLATIONS, Violation, draw_scene_for, hidden_from, twin
from jepa_lightning.data.procedural.physics_world import Scene, simulate
from jepa_lightning.data.procedural.shapes import VAL_OFFSET


class ViolationPair(NamedTuple):
    """Two clips that are the same up to the frame in which one of them breaks a law.

    Attributes:
        possible: uint8 ``[T, 3, H, W]``.
        impossible: uint8 ``[T, 3, H, W]``.
        violation: the law that is broken.
        onset: first frame that shows it.

    Example:
        >>> from jepa_lightning.data import ViolationDataset
        >>> pair = ViolationDataset(2, image_size=32)[0]
        >>> (pair.possible[: pair.onset] == pair.impossible[: pair.onset]).all().item()
        True
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

    Such two are twins: each impossible clip ends as the possible one of the other does. A body moves behind a bar and
    does not appear again (``vanish``), or appears and was not there before; appears higher or lower (``teleport``) or
    in another shape (``shape``), and the other way round; passes through a ``wall``, or turns where there is none. So
    what judges the past and the future apart, such as a preference for empty scenes, is right in half of them. Bodies
    that begin to fall ``upward`` have no twins.

    Source: the matched sets of IntPhys, arXiv 1803.07616.

    Args:
        size: number of pairs.
        num_frames: T, at least 12.
        image_size: pixels per side.
        seed: another one gives other pairs.

    Raises:
        ValueError: if the clips are too short to show a violation.

    Example:
        >>> from jepa_lightning.data import ViolationDataset
        >>> pairs = ViolationDataset(14, image_size=32)
        >>> pairs[0].violation, pairs[0].possible.shape
        ('vanish', torch.Size([16, 3, 32, 32]))
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
