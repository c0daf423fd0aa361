# E clips, T frames, F frame skip
"""Are a world model's energies higher for what cannot happen in two rooms than for what does under the same actions?

    python examples/surprise_in_two_rooms.py logs/WorldModel/version_0/checkpoints/last.ckpt

Of each pair one clip is what the actions lead to. In the other an agent is elsewhere in the room all at once
(teleport), or walks through the wall (wall). Start, actions, wall and door are the same, and no such wall and door are
in the training data.
"""

import argparse

import numpy as np
import torch

from jepa_lightning import WorldModel
from jepa_lightning.evaluation import surprise, wilson_interval
from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.two_rooms import is_free, move, render

SPEED = 1.0  # pixels of a step, as in the training data
STEPS = 12  # so that a walk towards the wall ends behind it where nothing stops it


def walls_and_starts(pairs: int, kind: str, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Columns of walls, rows of doors, starts ``[E, 2]`` and headings ``[E, 2]``; towards the wall for ``wall``."""
    walls, doors = layouts_of("test")[generator.integers(len(layouts_of("test")), size=pairs)].T
    side = generator.choice([-1, 1], size=pairs)
    across = generator.uniform(3, 6, size=pairs) if kind == "wall" else generator.uniform(8, 11, size=pairs)
    starts = np.stack([walls + side * across, generator.uniform(8, 56, size=pairs)], axis=1)
    starts[:, 1] += np.where(np.abs(starts[:, 1] - doors) < 7, np.where(doors < 32, 14, -14), 0)  # not at the door
    headings = np.stack([-side, np.zeros(pairs)], axis=1) if kind == "wall" else np.zeros((pairs, 2))
    if kind == "teleport":
        headings[:, 1] = np.where(starts[:, 1] < 32, 1, -1)
    return walls, doors, starts, SPEED * headings


def pairs_of(kind: str, pairs: int, frame_skip: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Possible and impossible clips, uint8 ``[E, T, 65, 65, 2]`` each, and the actions ``[E, T - 1, 2 F]`` of both."""
    generator = np.random.default_rng(seed)
    walls, doors, position, step = walls_and_starts(pairs, kind, generator)
    true, false = [position], [position]
    for time in range(1, STEPS + 1):
        true.append(move(true[-1], step, walls, doors, np.zeros(pairs)))
        straight = false[-1] + step
        if kind == "teleport" and time == STEPS // 2:
            straight = straight + np.array([0.0, 15.0]) * np.sign(step[:, 1:])
        false.append(straight)
    clips = [
        np.stack([render(place, walls, doors).transpose(0, 2, 3, 1) for place in places[::frame_skip]], axis=1)
        for places in (true, false)
    ]
    assert is_free(false[-1], walls, doors).all()
    actions = np.repeat(step[:, None], STEPS // frame_skip, axis=1)
    return clips[0], clips[1], np.tile(actions, (1, 1, frame_skip)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of a WorldModel, such as logs/WorldModel/version_0/checkpoints/last.ckpt")
    parser.add_argument(
        "--pairs", type=int, default=200, help="possible and impossible sequences of each kind; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the walks; default: %(default)s")
    options = parser.parse_args()
    model = WorldModel.load_from_checkpoint(options.checkpoint, map_location="cpu").eval()
    frame_skip = model.frame_skip or 1  # steps of the data from a frame to the next
    if STEPS % frame_skip:
        parser.error(f"the clips have {STEPS} steps, which is no multiple of the checkpoint's {frame_skip} a frame")
    print(f"{'':<10}{'possible':>10}{'impossible':>12}{'higher, %':>11}{'95 % interval':>16}")
    for kind in ("teleport", "wall"):
        true, false, actions = pairs_of(kind, options.pairs, frame_skip, options.seed)
        energies = [
            surprise(model, model.clip(clips), context_frames=1, window=2, actions=torch.from_numpy(actions))
            for clips in (true, false)
        ]
        # what is least expected of a clip says whether it is possible
        possible, impossible = (each.amax(dim=1) for each in energies)
        higher = int((impossible > possible).sum())
        low, high = wilson_interval(higher, options.pairs)
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        means = f"{possible.mean():>10.3g}{impossible.mean():>12.3g}"
        print(f"{kind:<10}{means}{100 * higher / options.pairs:>11.1f}{interval:>16}")


if __name__ == "__main__":
    main()
