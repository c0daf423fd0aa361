from typing import Any

import pytest
import torch

pytest.importorskip("gymnasium", reason="needs the extra worlds")

from jepa_lightning.planning.making import make_task, with_model


class Model:
    """What is looked at of a world model of two rooms."""

    device, in_channels = torch.device("cpu"), 2

    def __init__(self, size: int = 2, **attributes: Any) -> None:
        self.actions = type("Actions", (), {"size": size, "std": torch.ones(size)})
        vars(self).update(attributes)


def test_two_rooms_have_their_bounds_and_their_limit() -> None:
    task = make_task(Model(), "TwoRooms", 3, {"layouts": "fixed"})
    assert (task.env.num_envs, task.frame_skip, task.max_steps, task.bounds.size) == (3, 1, 200, 2)
    assert task.bounds.max_norm == pytest.approx(2.45)
    assert task.bounds.high.tolist() == pytest.approx([2.45, 2.45])
    assert set(task.env.reset(seed=0)[1]["wall"].tolist()) == {32}
    assert make_task(Model(), "TwoRooms", 1, {}, max_steps=9).max_steps == 9


@pytest.mark.parametrize(
    ("model", "given"), [(Model(8, frame_skip=4), None), (Model(8, frame_skip=2), 4), (Model(8), 4)]
)
def test_the_frame_skip_is_the_one_given_or_the_models(model: Any, given: int | None) -> None:
    assert make_task(model, "TwoRooms", 1, {}, given).frame_skip == 4


def test_a_module_without_a_size_of_actions_takes_those_of_the_environment() -> None:
    bare = type("Bare", (), {"device": torch.device("cpu")})()
    assert make_task(bare, "TwoRooms", 1, {}).bounds.size == 2


def test_another_model_has_to_fit_the_same_episodes() -> None:
    task = make_task(Model(), "TwoRooms", 2, {})
    other = Model()
    again = with_model(task, other)
    assert (again.model is other, again.env is task.env, task.model is other) == (True, True, False)
    with pytest.raises(ValueError, match="the world model takes actions of 3 numbers, and TwoRooms has 2"):
        with_model(task, Model(3))
    with pytest.raises(ValueError, match="TwoRooms gives images of 2 channels, and the world model takes 3"):
        with_model(task, Model(in_channels=3))


def test_an_environment_that_does_not_fit_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    from jepa_lightning.worlds import TwoRoomsVector

    closed = []
    monkeypatch.setattr(TwoRoomsVector, "close", lambda self, **options: closed.append(self))
    with pytest.raises(ValueError, match=r"max_steps=201: episodes of TwoRooms end after 200\."):
        make_task(Model(), "TwoRooms", 2, {}, max_steps=201)
    assert len(closed) == 1
