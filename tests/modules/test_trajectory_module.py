"""What a module knows about the actions and the states of its data."""

from collections.abc import Callable
from typing import Any

import pytest

from jepa_lightning import WorldModel

Build = Callable[..., Any]


def test_statistics_of_actions_come_from_the_data_unless_they_are_given(tiny_world: Build) -> None:
    model = tiny_world()
    model.take_actions(2, (1.0, 2.0), (3.0, 4.0))
    assert (model.actions.mean.tolist(), model.actions.std.tolist()) == ([1, 2], [3, 4])
    assert model.hparams["action_mean"] == [1.0, 2.0]
    again = WorldModel(**model.hparams)
    assert again.actions.std.tolist() == [3, 4]
    own = tiny_world(action_mean=[0.0, 0.0], action_std=[1.0, 1.0])
    own.take_actions(2, (1.0, 2.0), (3.0, 4.0))
    assert own.actions.std.tolist() == [1, 1]
    assert (model.frame_skip, own.frame_skip) == (1, 1)


def test_the_frame_skip_comes_from_the_data_and_is_saved(tiny_world: Build) -> None:
    model = tiny_world()
    assert model.frame_skip is None
    model.take_actions(2, (0.0, 0.0), (1.0, 1.0), frame_skip=5)
    assert WorldModel(**model.hparams).frame_skip == model.frame_skip == 5
    own = tiny_world(frame_skip=3)
    own.take_actions(2, (0.0, 0.0), (1.0, 1.0), frame_skip=5)
    assert own.frame_skip == 3


def test_actions_of_another_size_than_the_module_takes_are_refused(tiny_world: Build) -> None:
    model = tiny_world()
    with pytest.raises(ValueError, match=r"actions of 3 numbers, and WorldModel has action_size=2: .*action_size 3"):
        model.take_actions(3, (0.0,) * 3, (1.0,) * 3)


def test_statistics_of_states_are_as_many_as_there_are_numbers(tiny_world: Build) -> None:
    model = tiny_world()
    assert model.state_mean == model.state_std == ()
    model.take_states([1, 2], (3.0, 4.0))
    assert (model.state_mean, model.state_std) == ((1, 2), (3.0, 4.0))
    with pytest.raises(ValueError, match="the states have 1 means and 2 deviations"):
        model.take_states((1.0,), (3.0, 4.0))


@pytest.mark.parametrize("wrong", [3, {"mean": "ab"}, {"mean": [1.0], "std": [None]}])
def test_statistics_of_states_in_a_checkpoint_are_numbers(tiny_world: Build, wrong: Any) -> None:
    model = tiny_world()
    with pytest.raises(ValueError, match="the checkpoint's statistics of states are not numbers"):
        model.on_load_checkpoint({"state_dict": model.state_dict(), "states": wrong})
