from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.data.extras import follow_frames, stack_extras

ACTIONS = torch.arange(12.0).view(6, 2)
STATES = torch.arange(7.0)[:, None] * 10
TRAJECTORY = {"actions": ACTIONS, "states": STATES, "wall": 3.0}


def test_extras_are_stacked_by_name() -> None:
    rows = [{"actions": ACTIONS.numpy().astype(np.float64) + i, "wall": i, "open": np.bool_(i)} for i in range(3)]
    stacked = stack_extras(rows)
    assert torch.equal(stacked["actions"], torch.stack([ACTIONS, ACTIONS + 1, ACTIONS + 2]))
    assert {name: each.dtype for name, each in stacked.items()} == {
        "actions": torch.float32,
        "wall": torch.int64,
        "open": torch.bool,
    }
    assert stack_extras([{}, {}]) == stack_extras([]) == {}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({}, "with and without the extra"),
        ({"actions": ACTIONS, "speed": 1.0}, "extra.s. speed"),
        ({"actions": ACTIONS[1:]}, r"the extra actions has different shapes in one batch, \[6, 2\] .* \[5, 2\]"),
        ({"actions": ACTIONS.long()}, "float32 and .* int64"),
        ({"actions": "left"}, "the extra actions is a str: give numbers"),
        ({"actions": [[1.0], [1.0, 2.0]]}, "the extra actions is a list: give numbers"),
        ({"actions": ACTIONS.to(torch.complex64)}, "complex"),
    ],
)
def test_extras_that_differ_are_refused_by_name(second: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stack_extras([{"actions": ACTIONS}, second])


@pytest.mark.parametrize("frames", [[0, 1, 2], [2, 4, 6], [0, 3, 6], [4], [1, 6]])
def test_states_and_all_actions_between_follow_the_frames(frames: list[int]) -> None:
    found = follow_frames(TRAJECTORY, frames, 7)
    assert found["states"].squeeze(1).tolist() == [10 * frame for frame in frames]
    assert found["wall"] == 3.0
    assert len(found["actions"]) == len(frames) - 1
    for row, (before, after) in zip(found["actions"], pairwise(frames), strict=True):
        assert row.tolist() == [number for action in ACTIONS[before:after].tolist() for number in action]


@pytest.mark.parametrize("frames", [[0, 1, 3], [4, 5, 6, 6], [3, 3]])
def test_frames_without_a_common_distance_are_refused(frames: list[int]) -> None:
    with pytest.raises(ValueError, match="are not equally far apart"):
        follow_frames(TRAJECTORY, frames, 7)


def test_extras_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"actions of a clip of 6 frames must have 5 rows, .* \[6, 2\]"):
        follow_frames(TRAJECTORY, [0, 1], 6)
    with pytest.raises(ValueError, match=r"states of a clip of 7 frames must have 7 rows, .* \[7\]"):
        follow_frames({"states": torch.zeros(7)}, [0, 1], 7)
