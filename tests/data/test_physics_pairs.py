import hashlib
from collections import Counter

import pytest
import torch

from jepa_lightning.data import ViolationDataset, ViolationPair
from jepa_lightning.data.physics_world import VIOLATIONS

BYTES_OF_20_PAIRS = "0fdfd5dc8987c0184b0fcd3080855a82c7dd882aff25fe81128b1f819fb7bd92"


@pytest.fixture(scope="module")
def pairs() -> list[ViolationPair]:
    dataset = ViolationDataset(200)
    return [dataset[i] for i in range(200)]


def test_pairs_have_the_same_bytes_everywhere(pairs: list[ViolationPair]) -> None:
    clips = torch.cat([clip for pair in pairs[:20] for clip in (pair.possible, pair.impossible)])
    assert hashlib.sha256(clips.numpy().tobytes()).hexdigest() == BYTES_OF_20_PAIRS


def test_pairs_follow_from_seed_and_index_alone_and_an_index_outside_is_an_error(pairs: list[ViolationPair]) -> None:
    assert torch.equal(ViolationDataset(9)[8].impossible, pairs[8].impossible)
    assert not torch.equal(ViolationDataset(9, seed=1)[8].possible, pairs[8].possible)
    with pytest.raises(IndexError, match="pair -1 of 2"):
        ViolationDataset(2)[-1]


def test_every_pair_is_the_same_until_it_visibly_breaks_a_law(pairs: list[ViolationPair]) -> None:
    assert Counter(pair.violation for pair in pairs) == dict.fromkeys(VIOLATIONS, 40)
    for pair in pairs:
        assert pair.possible.shape == pair.impossible.shape == (16, 3, 48, 48)
        assert 1 <= pair.onset <= 12
        assert torch.equal(pair.possible[: pair.onset], pair.impossible[: pair.onset])
        differ = (pair.possible.int() - pair.impossible.int()).abs().amax(1).flatten(1)
        assert differ[pair.onset].max() > 0
        # not by a shade of some pixels: a hundredth of a frame at least
        assert (differ > 50).sum(1).max() >= 23


def test_what_happens_behind_an_occluder_shows_in_no_step_from_frame_to_frame(pairs: list[ViolationPair]) -> None:
    for violation in ("vanish", "teleport", "shape"):
        most = [
            [clip.float().diff(dim=0).abs().mean(dim=(1, 2, 3)).max() for clip in (pair.possible, pair.impossible)]
            for pair in pairs
            if pair.violation == violation
        ]
        share = sum(float(broken > whole) for whole, broken in most) / len(most)
        assert share < 0.7


def test_a_body_that_vanished_is_gone_and_the_others_are_still_there(pairs: list[ViolationPair]) -> None:
    for pair in pairs:
        colour = (pair.impossible.amax(1).int() - pair.impossible.amin(1)).flatten(1).amax(1)
        assert colour[: pair.onset][0] > 60
        assert (colour[pair.onset :].max() > 60) == (pair.violation != "vanish")


def test_short_clips_show_the_violation_too_and_shorter_ones_are_an_error() -> None:
    for pair in ViolationDataset(50, num_frames=12):
        assert not torch.equal(pair.possible[pair.onset], pair.impossible[pair.onset])
    with pytest.raises(ValueError, match="num_frames=11 is too short for a violation to be seen: give at least 12"):
        ViolationDataset(5, num_frames=11)
