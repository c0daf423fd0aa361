# E episodes
"""How often a world model reaches its goals, measured while it is trained."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from jepa_lightning.callbacks.probes.fresh import FreshCallback
from jepa_lightning.callbacks.probes.named import NamedCallback
from jepa_lightning.features import eval_mode
from jepa_lightning.options import PositiveInt, Seed, check_options
from jepa_lightning.planning import MPPI, Planner, RandomPolicy, episode_generators
from jepa_lightning.planning.episodes import Policy, Scene
from jepa_lightning.planning.latent import Reduce
from jepa_lightning.planning.making import make_task
from jepa_lightning.planning.protocol import build_planner, reduction, replanning
from jepa_lightning.planning.task import Control, Task
from jepa_lightning.worlds.purposes import options_for

NEEDED = ("clip", "encode", "rollout", "cost")


class OnlinePlanning(NamedCallback, FreshCallback):
    """Plans in an environment every few optimizer steps, as ``jepa-lightning plan`` does, on the same episodes.

    It logs ``val/NAME``, the share of the episodes that reach their goal, and ``val/NAME_random``, that of random
    actions on these episodes, which is measured once. A few episodes say whether planning works at all: of 8 the 95 %
    interval is 40 points wide and more, so judge a model by ``jepa-lightning plan`` and its 100 episodes. In
    ``TwoRooms`` walls and doors are those for validation, which neither training nor ``jepa-lightning plan`` has.

    The module needs ``clip``, ``encode``, ``rollout`` and ``cost``, as ``WorldModel`` has them. Nothing of this changes
    training. On several ranks all of them plan, with the actions of rank 0, so that sharded networks work too.

    Args:
        env: name of the environment, as for ``jepa-lightning plan --env``.
        every_n_steps: optimizer steps between measures.
        episodes: E, which run side by side.
        planner: looks for actions; None is ``MPPI`` with what ``--protocol quick`` of ``jepa-lightning plan`` has.
        replan_every: actions that are executed of each plan; None is that protocol's too.
        cost: the distance to the goal in sum over the steps of a plan, or at the last one; None is that protocol's too.
        max_steps: actions of an episode; None is the environment's limit.
        frame_skip: actions of the environment for one step of the model; None is the model's own, which it
            has from the data.
        env_options: that the environment is made with.
        seed: of the first episode; the others have those that follow.
        name: of the metrics and of the state in checkpoints; two of these need two names.

    Attributes:
        best: the highest share so far.

    Raises:
        MisconfigurationException: when training starts, if the environment or the module does not do.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import OnlinePlanning
        >>> trainer = Trainer(callbacks=[OnlinePlanning("TwoRooms", every_n_steps=250)])  # logs val/planning
    """

    name = "planning"

    def __init__(
        self,
        env: str,
        every_n_steps: PositiveInt = 1000,
        episodes: PositiveInt = 8,
        planner: Planner | None = None,
        replan_every: PositiveInt | None = None,
        cost: Reduce | None = None,
        max_steps: PositiveInt | None = None,
        frame_skip: PositiveInt | None = None,
        env_options: Mapping[str, Any] | None = None,
        seed: Seed = 0,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        self.rename(name)
        self.env, self.env_options, self.episodes, self.seed = env, dict(env_options or {}), episodes, seed
        self.every_n_steps, self.max_steps, self.frame_skip = every_n_steps, max_steps, frame_skip
        self.planner, self.replan_every, self.cost = planner, replan_every, cost
        self._task: Task | None = None
        self._control: Control
        self._seeds: list[int] = []
        self._step = 0  # optimizer steps before this batch
        self.reset()

    def reset(self) -> None:
        """Forgets earlier runs."""
        self.best: float | None = None
        self._random: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the environment, and measures random actions.

        Raises:
            MisconfigurationException: if it cannot be made, or does not fit the module.
        """
        self._step = trainer.global_step
        if missing := [name for name in NEEDED if not callable(getattr(pl_module, name, None))]:
            raise MisconfigurationException(
                f"{type(self).__name__} needs a world model, and {type(pl_module).__name__} has no "
                f"{' and no '.join(missing)}: use WorldModel, or leave the callback out."
            )
        if any(weight.dtype != torch.float32 for weight in pl_module.parameters()):
            raise MisconfigurationException(
                f"{type(self).__name__} plans in float32, as jepa-lightning plan does, and the weights are not: train "
                "with --trainer.precision 32-true, bf16-mixed or 16-mixed."
            )
        options = options_for("val", self.env, self.env_options)
        try:
            with isolate_rng(include_cuda=False):
                task = make_task(pl_module, self.env, self.episodes, options, self.frame_skip, self.max_steps)
                self._task, self._control = task, self._controlled(task.frame_skip)
                task.policy(self._control, self.seed)  # refuses a horizon that does not fit
                self._seeds = task.unsolved_seeds(self.seed)
        except (ImportError, ValueError) as error:
            raise MisconfigurationException(f"{type(self).__name__}: {error}") from error
        if self._random is None:
            policy = RandomPolicy(task.bounds, episode_generators(self.seed + 1, self.episodes))
            self._random = self._share(trainer, task, policy)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Plans where it is due, after a step."""
        before, self._step = self._step, trainer.global_step
        # a batch may take several steps in manual optimization
        if self._step // self.every_n_steps == before // self.every_n_steps or self._task is None:
            return
        with torch.no_grad(), eval_mode(pl_module):
            policy = self._task.policy(self._control, self.seed)
            share = self._share(trainer, self._task, policy, policy.memory)
        self.best = max(self.best or 0.0, share)
        values = {f"val/{self.name}": share, f"val/{self.name}_random": self._random or 0.0}
        for name, value in values.items():
            pl_module.log(name, value, prog_bar=name == f"val/{self.name}", logger=False)
        # the module's log repeats a value at every step that is logged until there is a new one
        for logger in trainer.loggers:
            logger.log_metrics(values, step=self._step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Closes the environment."""
        super().teardown(trainer, pl_module, stage)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Closes the environment."""
        super().on_exception(trainer, pl_module, exception)
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """The highest share so far, and that of random actions."""
        return {"best": self.best, "random": self._random}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores them."""
        super().load_state_dict(state_dict)
        self.best, self._random = state_dict["best"], state_dict["random"]

    def _controlled(self, skip: int) -> Control:
        planner = self.planner or build_planner(MPPI, {}, "quick", skip)
        every, cost = replanning(self.replan_every, planner, "quick", skip), reduction(self.cost, "quick")
        return Control(planner, every, cost)

    def _share(self, trainer: Trainer, task: Task, policy: Policy, memory: int = 1) -> float:
        """Share of the episodes that reach their goal; the same on all ranks."""

        def act(scene: Scene) -> Tensor:
            # rounding differs between devices, and ranks whose episodes end apart would wait for each other
            actions: Tensor = trainer.strategy.broadcast(policy(scene))
            return actions

        with isolate_rng(include_cuda=False):
            episodes = task.run(act if trainer.world_size > 1 else policy, self._seeds, memory)
        return float(episodes.success.float().mean())

    def _close(self) -> None:
        if self._task is not None:
            self._task.env.close()
        self._task = None
