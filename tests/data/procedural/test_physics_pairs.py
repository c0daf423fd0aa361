import hashlib
from collections import Counter

import pytest
import torch

from jepa_lightning.data import ViolationDataset, ViolationPair
from jepa_lightning.data.procedural.physics_violations import VIOLATIONS

BYTES_OF_20_PAIRS = "76b58ef941f4d7867630f22828e3d01912fb2d628558b94257ebf0af49c72cbf"
HIDDEN = ("vanish", "teleport", "shape")


@pytest.fixture(scope="module")
def pairs() -> list[ViolationPair]:
    dataset = ViolationDataset(200)
    return [dataset[i] for i in range(200)]


def test_pairs_have_the_same_bytes_everywhere(pairs: list[ViolationPair]) -> None:
    clips = torch.cat([clip for pair in pairs[:20] for clip in (pair.possible, pair.impossible)])
    assert hashlib.sha256(clips.numpy().tobytes()).hexdigest() == BYTES_OF_20_PAIRS


def test_pairs_follow_from_seed_and_index_alone_and_an_index_outside_is_an_error(pairs: list[ViolationPair]) -> None:
    assert torch.equal(ViolationDataset(9)[8].impossible, pairs[8].impossible)
    assert all(torch.equal(ViolationDataset(10).possible(i), pairs[i].possible) for i in range(10))
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


def test_twins_have_the_same_frames_in_other_company(pairs: list[ViolationPair]) -> None:
    for first, second in zip(pairs[::2], pairs[1::2], strict=True):
        if first.violation in HIDDEN:
            assert first.onset == second.onset
            assert torch.equal(first.impossible[first.onset :], second.possible[first.onset :])
            assert torch.equal(second.impossible[first.onset :], first.possible[first.onset :])
            assert not torch.equal(first.possible[0], second.possible[0])
            # so no measure of single frames, or of two that follow each other, tells the possible clips from the others
            changes = [
                sum(clip.float().diff(dim=0).abs().sum() for clip in clips)
                for clips in ((first.possible, second.possible), (first.impossible, second.impossible))
            ]
            torch.testing.assert_close(*changes, rtol=5e-3, atol=0)


def colored(clip: torch.Tensor) -> list[bool]:
    """Whether a body is in sight, for each frame: all else is gray."""
    return [bool(color > 60) for color in (clip.amax(1).int() - clip.amin(1)).flatten(1).amax(1)]


def test_bodies_vanish_and_appear(pairs: list[ViolationPair]) -> None:
    for pair in (pair for pair in pairs[::2] if pair.violation == "vanish"):
        assert colored(pair.impossible)[0]
        assert not any(colored(pair.impossible)[pair.onset :])
        assert colored(pair.possible)[-1]
    for pair in (pair for pair in pairs[1::2] if pair.violation == "vanish"):
        assert not any(colored(pair.possible))
        assert colored(pair.impossible)[-1]


def test_a_wall_is_in_all_frames_of_a_clip_or_in_none(pairs: list[ViolationPair]) -> None:
    for number, pair in enumerate(pairs):
        if pair.violation == "wall":
            for clip in (pair.possible, pair.impossible):
                white = [bool((frame.amin(0) > 200).all(dim=0).any()) for frame in clip]
                # a body in front of it hides a part of it from this measure
                assert white[0] == (number % 2 == 0)
                assert number % 2 == 0 or not any(white)


def test_short_clips_show_the_violation_too_and_shorter_ones_are_an_error() -> None:
    for pair in ViolationDataset(50, num_frames=12):
        assert not torch.equal(pair.possible[pair.onset], pair.impossible[pair.onset])
    with pytest.raises(ValueError, match="num_frames=11 is too short for a violation to be seen: give at least 12"):
        ViolationDataset(5, num_frames=11)
