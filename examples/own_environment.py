# T frames, C channels, H W height and width, A dimension of an action
"""A world model of an environment of your own, and plans in it: python examples/own_environment.py --steps 300.

The environment needs images and continuous actions. Planning also asks its ``info`` for ``goal_image``, what is to be
seen in the end, and for ``success``.
"""

import argparse
from typing import Any

import gymnasium
import numpy as np
import torch
from lightning.pytorch import Trainer

from jepa_lightning import WorldModel
from jepa_lightning.data import JEPADataModule
from jepa_lightning.planning import (
    CEM,
    Bounds,
    PlanningPolicy,
    RandomPolicy,
    episode_generators,
    run_episodes,
)
from jepa_lightning.types import Sample

SIDE, FRAMES = 16, 9


class Pusher(gymnasium.Env):
    """A dot in a square of 16 by 16 pixels goes where it is pushed, and stops at the edges."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 1), np.uint8)
        self.action_space = gymnasium.spaces.Box(-2, 2, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Starts in a corner and has its goal in another one; with ``anywhere`` it starts at any place, to record."""
        super().reset(seed=seed)
        low, high = (0, SIDE - 1) if options and options.get("anywhere") else (1, 5)
        self.place = self.np_random.uniform(low, high, size=2)
        self.goal = self.np_random.uniform(10, SIDE - 2, size=2)
        return self._image(self.place), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Moves the dot."""
        self.place = np.clip(self.place + action, 0, SIDE - 1)
        info = self._info()
        return self._image(self.place), float(info["success"]), info["success"], False, info

    def _info(self) -> dict[str, Any]:
        success = bool(np.linalg.norm(self.place - self.goal) < 1.5)
        return {
            "position": self.place.copy(),
            "goal": self.goal.copy(),
            "goal_image": self._image(self.goal),
            "success": success,
        }

    def _image(self, place: Any) -> Any:
        rows, columns = np.mgrid[:SIDE, :SIDE]
        squares = (columns - place[0]) ** 2 + (rows - place[1]) ** 2
        return np.rint(255 * np.exp(-squares / 4)).astype(np.uint8)[..., None]


def record(env: gymnasium.Env, episodes: int, seed: int) -> list[Sample]:
    """Frames uint8 ``[T, C, H, W]`` and the actions ``[T - 1, A]`` between them, at random."""
    samples = []
    env.action_space.seed(seed)
    for episode in range(episodes):
        image, _ = env.reset(seed=seed + episode, options={"anywhere": True})
        frames, actions = [image], []
        for _ in range(FRAMES - 1):
            actions.append(env.action_space.sample())
            frames.append(env.step(actions[-1])[0])
        clip = torch.from_numpy(np.stack(frames)).movedim(-1, 1)
        samples.append(Sample(clip, extras={"actions": torch.from_numpy(np.stack(actions))}))
    return samples


class PusherDataModule(JEPADataModule):
    """Recorded once, before training. The command `jepa-lightning collect` writes files for larger ones."""

    num_classes = None

    def build_datasets(self) -> tuple:
        """Training and validation set."""
        return record(Pusher(), 1024, seed=1000), record(Pusher(), 32, seed=5000)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="of training")
    parser.add_argument("--episodes", type=int, default=20, help="to plan; default: %(default)s")
    options = parser.parse_args(args)
    torch.manual_seed(0)
    model = WorldModel(
        width=64, image_size=SIDE, in_channels=1, num_frames=FRAMES, action_size=2, mean=[0.05], std=[0.2]
    )
    data = PusherDataModule(batch_size=32, num_workers=0, in_channels=1)
    trainer = Trainer(max_steps=options.steps, gradient_clip_val=2.0, logger=False, limit_val_batches=0)
    trainer.fit(model, datamodule=data)
    model = model.eval().requires_grad_(False).cpu()

    env = gymnasium.vector.SyncVectorEnv([Pusher] * options.episodes)
    bounds = Bounds(torch.full((2,), -2.0), torch.full((2,), 2.0))
    policies = {
        "CEM": PlanningPolicy(model, CEM(6, 64, 8, 4), bounds, episode_generators(0, options.episodes)),
        "random": RandomPolicy(bounds, episode_generators(1, options.episodes)),
    }
    for name, policy in policies.items():
        episodes = run_episodes(env, policy, range(options.episodes), max_steps=15, size=2)
        print(f"{name}: {int(episodes.success.sum())} of {options.episodes} goals reached within 15 steps")


if __name__ == "__main__":
    main()
