from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import CSVLogger

pytest.importorskip("gymnasium", reason="needs the extra worlds")

from jepa_lightning import WorldModel
from jepa_lightning.callbacks import OnlinePlanning
from jepa_lightning.planning import CEM, Bounds, PlanningPolicy, RandomPolicy, episode_generators
from jepa_lightning.planning.episodes import run_episodes

FEW = {"episodes": 2, "max_steps": 2, "seed": 5}


def planner() -> CEM:
    return CEM(horizon=4, num_samples=6, num_elites=2, iterations=1)


def fit(module: WorldModel, data: Any, trainer: Any, **options: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    trainer.fit(module, datamodule=data, **options)
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.fixture
def short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goals that are a few steps away, so that some are reached by accident."""
    monkeypatch.setattr("jepa_lightning.worlds.rooms.REACHED", 20.0)


@pytest.mark.usefixtures("short_way")
def test_the_shares_are_those_of_episodes_run_by_hand(tiny_world: Any, rooms: Any, quiet_trainer: Any) -> None:
    import gymnasium

    import jepa_lightning.worlds  # noqa: F401

    callback = OnlinePlanning("TwoRooms", 2, 12, planner(), 2, max_steps=12, seed=5)
    trainer = quiet_trainer(callbacks=[callback], max_steps=2, num_sanity_val_steps=0)
    module = tiny_world()
    fit(module, rooms(), trainer)
    module.eval()
    env = gymnasium.make_vec("jepa_lightning/TwoRooms-v0", num_envs=12, layouts="val")
    seeds = list(range(5, 17))
    bounds = Bounds(torch.full((2,), -2.45), torch.full((2,), 2.45), max_norm=2.45)
    with torch.no_grad():
        policy = PlanningPolicy(module, planner(), bounds, episode_generators(5, 12), replan_every=2)
        planned = run_episodes(env, policy, seeds, 12, size=2)
    blind = run_episodes(env, RandomPolicy(bounds, episode_generators(6, 12)), seeds, 12, size=2)
    shares = [float(each.success.float().mean()) for each in (planned, blind)]
    logged = trainer.callback_metrics
    assert [float(logged[name]) for name in ("val/planning", "val/planning_random")] == pytest.approx(shares)
    assert callback.best == pytest.approx(shares[0])
    assert 0 < shares[1] < 1  # not because nothing ever happens


@pytest.mark.slow
def test_training_is_the_same_with_it(tiny_world: Any, rooms: Any, quiet_trainer: Any) -> None:
    callbacks = [OnlinePlanning("TwoRooms", 1, planner=planner(), **FEW)]
    weights = [fit(tiny_world(), rooms(), quiet_trainer(callbacks=given, max_epochs=2)) for given in (callbacks, [])]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_a_resumed_run_keeps_the_best_and_plans_at_the_same_steps(
    tiny_world: Any, rooms: Any, quiet_trainer: Any, tmp_path: Any
) -> None:
    first = quiet_trainer(callbacks=[OnlinePlanning("TwoRooms", 2, planner=planner(), **FEW)], max_steps=3)
    fit(tiny_world(), rooms(), first)
    first.callbacks[0].best = 0.75
    first.save_checkpoint(tmp_path / "third.ckpt")
    again = OnlinePlanning("TwoRooms", 2, planner=planner(), **FEW)
    resumed = quiet_trainer(callbacks=[again], max_steps=4, num_sanity_val_steps=0)
    fit(tiny_world(), rooms(), resumed, ckpt_path=tmp_path / "third.ckpt")
    assert again.best == 0.75
    assert "val/planning" in resumed.callback_metrics  # of step 4


def test_it_plans_every_few_steps_and_logs_at_those(
    tiny_world: Any, rooms: Any, quiet_trainer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = CSVLogger(tmp_path)
    callback = OnlinePlanning("TwoRooms", 3, planner=planner(), name="mine", **FEW)
    found = []
    monkeypatch.setattr(CSVLogger, "log_metrics", lambda self, metrics, step=None: found.append((step, {*metrics})))
    fit(tiny_world(), rooms(), quiet_trainer(callbacks=[callback], max_steps=7, max_epochs=-1, logger=logger))
    own = [(step, names) for step, names in found if "val/mine" in names]
    assert own == [(3, {"val/mine", "val/mine_random"}), (6, {"val/mine", "val/mine_random"})]


def test_the_frame_skip_is_that_of_the_data(tiny_world: Any, rooms: Any, quiet_trainer: Any) -> None:
    callback = OnlinePlanning("TwoRooms", 1, **FEW)
    trainer = quiet_trainer(callbacks=[callback], max_steps=1, num_sanity_val_steps=0)
    fit(tiny_world(action_size=6), rooms(frame_skip=3), trainer)
    assert float(trainer.callback_metrics["val/planning"]) == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": "Nowhere-v0"}, "OnlinePlanning: there is no environment 'Nowhere-v0'"),
        ({"env_options": {"size": 3}}, r"OnlinePlanning: .*TwoRooms-v0 cannot be made with"),
        ({"frame_skip": 2}, "the world model takes actions of 2 numbers, and TwoRooms has 2 in each of 2 steps"),
        ({"max_steps": 500}, "max_steps=500: episodes of TwoRooms end after 200"),
        ({"replan_every": 5}, "replan_every=5 is more than horizon=4 has actions"),
    ],
)
def test_what_does_not_fit_ends_before_the_first_step(
    tiny_world: Any, rooms: Any, quiet_trainer: Any, options: dict[str, Any], message: str
) -> None:
    callback = OnlinePlanning(**{"env": "TwoRooms", "planner": planner(), **FEW, **options})
    trainer = quiet_trainer(callbacks=[callback], max_steps=1, num_sanity_val_steps=0)
    with pytest.raises(MisconfigurationException, match=message):
        fit(tiny_world(), rooms(), trainer)
    assert trainer.global_step == 0


def test_a_module_that_cannot_plan_is_refused(tiny_ijepa: Any, shapes: Any, quiet_trainer: Any) -> None:
    trainer = quiet_trainer(callbacks=[OnlinePlanning("TwoRooms")], max_steps=1)
    with pytest.raises(MisconfigurationException, match="IJEPA has no clip and no encode and no rollout and no cost"):
        trainer.fit(tiny_ijepa(), datamodule=shapes())
