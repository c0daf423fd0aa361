"""Planners, and model-predictive control with them: they know neither a network nor an environment."""

from jepa_lightning.planning.base import Plan, Planner
from jepa_lightning.planning.baselines import RandomPolicy, ZeroPolicy
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.cem import CEM
from jepa_lightning.planning.control import PlanningPolicy
from jepa_lightning.planning.diagnostics import distance_curve, rollout_errors
from jepa_lightning.planning.draws import episode_generators
from jepa_lightning.planning.episodes import run_episodes
from jepa_lightning.planning.gradient import GradientPlanner
from jepa_lightning.planning.icem import ICEM
from jepa_lightning.planning.latent import LatentCost
from jepa_lightning.planning.mppi import MPPI
from jepa_lightning.planning.warm_start import shift

__all__ = [
    "CEM",
    "ICEM",
    "MPPI",
    "Bounds",
    "GradientPlanner",
    "LatentCost",
    "Plan",
    "Planner",
    "PlanningPolicy",
    "RandomPolicy",
    "ZeroPolicy",
    "distance_curve",
    "episode_generators",
    "rollout_errors",
    "run_episodes",
    "shift",
]
