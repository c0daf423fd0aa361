"""Learns a world model of two rooms and plans in it: python examples/plan_two_rooms.py --steps 1500."""

import argparse

import gymnasium
import torch
from lightning.pytorch import Trainer
from new_files import refuse_existing
from PIL import Image

import jepa_lightning.worlds  # noqa: F401  # registers the environment
from jepa_lightning import WorldModel
from jepa_lightning.data import TwoRoomsDataModule
from jepa_lightning.evaluation import wilson_interval
from jepa_lightning.nn import StridedEncoder
from jepa_lightning.planning import MPPI, Bounds, PlanningPolicy, episode_generators, run_episodes


def learn(steps: int, width: int) -> WorldModel:
    """From walks with known actions alone: neither goals nor rewards are seen."""
    encoder = StridedEncoder((65, 65), in_channels=2, width=width)
    predictor = {"predictor": "mlp", "predictor_depth": 3, "predictor_hidden": 512, "rollout_steps": 4}
    terms = {"rollout_from": "every", "covariance": 24.0, "similarity": 4.0, "inverse": 8.0, "lr": 2e-3}
    # frames are 4 steps of a walk apart, and an action has those of all 4
    model = WorldModel(encoder, num_frames=5, action_size=8, **predictor, **terms)
    data = TwoRoomsDataModule(64 * steps, 64, 5, frame_skip=4, straight=0.5, std=(0.0369, 0.1), batch_size=64)
    Trainer(max_steps=steps, gradient_clip_val=2.0, logger=False, limit_val_batches=0).fit(model, datamodule=data)
    return model.eval().requires_grad_(False)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500, help="of training; or give --ckpt_path")
    parser.add_argument("--width", type=int, default=128, help="of states")
    parser.add_argument("--ckpt_path", help="checkpoint of a world model of two rooms, instead of training one")
    parser.add_argument("--episodes", type=int, default=16, help="to plan; default: %(default)s")
    parser.add_argument("--max_steps", type=int, default=200, help="actions of an episode")
    parser.add_argument("--out", default="rooms.gif", help="film of the first episode")
    options = parser.parse_args(args)
    refuse_existing(options.out)
    saved = options.ckpt_path
    model = WorldModel.load_from_checkpoint(saved).eval() if saved else learn(options.steps, options.width)
    # walls and doors here were in no walk to learn from
    env = gymnasium.make_vec("jepa_lightning/TwoRooms-v0", num_envs=options.episodes)
    bounds = Bounds(*(torch.tensor([side, side], device=model.device) for side in (-2.45, 2.45)), max_norm=2.45)
    planner = MPPI(80, num_samples=64, num_elites=8, iterations=4, sigma=1.0, temperature=0.02, beta=2.5)
    generators, skip = episode_generators(0, options.episodes), model.frame_skip or 1
    policy = PlanningPolicy(model, planner, bounds, generators, replan_every=skip, reduce="last", frame_skip=skip)
    episodes = run_episodes(env, policy, range(options.episodes), options.max_steps, size=2, record=1)
    reached = int(episodes.success.sum())
    low, high = wilson_interval(reached, options.episodes)
    print(f"{reached} of {options.episodes} goals reached: {low:.0%} to {high:.0%} with 95 % confidence")
    dots, walls = episodes.frames[0, : episodes.steps[0] + 1].unbind(dim=-1)
    film = [Image.fromarray(frame.numpy()).resize((260, 260)) for frame in torch.maximum(dots, walls // 2)]
    film[0].save(options.out, save_all=True, append_images=film[1:], duration=60, loop=0)


if __name__ == "__main__":
    main()
