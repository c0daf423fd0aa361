import pytest
import torch

from jepa_lightning.nn.key_values import KeyValues, check_one_at_a_time


def test_gives_all_that_is_kept_and_keeps_the_newest() -> None:
    memory = KeyValues(limit=3)
    tokens = torch.arange(6.0).view(1, 1, 6, 1)
    found = [memory.extend(each, -each) for each in (tokens[:, :, :2], tokens[:, :, 2:3], tokens[:, :, 3:4])]
    assert [keys.flatten().tolist() for keys, _ in found] == [[0, 1], [0, 1, 2], [1, 2, 3]]
    assert all(torch.equal(values, -keys) for keys, values in found)
    assert memory.seen == 4


def test_several_frames_behind_others_are_refused() -> None:
    check_one_at_a_time(0, 3)
    check_one_at_a_time(3, 1)
    with pytest.raises(ValueError, match="a memory of 2 frames takes one frame at a time, got 3"):
        check_one_at_a_time(2, 3)
