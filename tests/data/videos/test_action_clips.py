import pytest
import torch

from jepa_lightning.data.videos.action_clips import ActionCollate, action_pipeline, frames_to_clips
from jepa_lightning.types import Sample


def samples_of(number: int, frames: int = 5) -> list[Sample]:
    torch.manual_seed(0)
    clips = torch.randint(0, 256, (number, frames, 2, 6, 8), dtype=torch.uint8)
    actions = torch.randn(number, frames - 1, 2)
    return [
        Sample(
            clip, path=f"episode {n}", extras={"actions": actions[n], "states": torch.arange(float(frames))[:, None]}
        )
        for n, clip in enumerate(clips)
    ]


def test_actions_follow_the_frames_of_a_window() -> None:
    pipeline, samples = action_pipeline((6, 8), 3, 2, (0.5, 0.5), (0.5, 0.5)), samples_of(8, frames=7)
    starts = set()
    for transform in (pipeline.transform, pipeline.eval_transform):
        batch = pipeline.collate([transform(sample) for sample in samples])
        assert batch.views[0].shape == (8, 2, 3, 6, 8)
        for row, sample in enumerate(samples):
            start = int(batch.extras["states"][row, 0])
            assert batch.extras["states"][row, :, 0].tolist() == [start, start + 1, start + 2]
            assert torch.equal(batch.extras["actions"][row], sample.extras["actions"][start : start + 2])
            expected = sample.media[start : start + 3].transpose(0, 1).float() / 255 * 2 - 1
            torch.testing.assert_close(batch.views[0][row], expected)
            starts.add((transform is pipeline.transform, start))
    assert len({start for train, start in starts if train}) > 2
    assert {start for train, start in starts if not train} == {2}


def test_frames_of_environments_become_the_same_clips() -> None:
    frames = torch.stack([sample.media for sample in samples_of(3)])
    clips = frames_to_clips(frames.movedim(2, -1), (6, 8), (0.5, 0.5), (0.5, 0.5))
    torch.testing.assert_close(clips, frames.transpose(1, 2).float() / 255 * 2 - 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_action_that_is_not_finite_is_refused_with_its_episode(value: float) -> None:
    samples = samples_of(4)
    collate = ActionCollate(action_size=2)
    assert collate([each._replace(media=each.media.float()) for each in samples]).extras["actions"].shape == (4, 4, 2)
    samples[2].extras["actions"][3, 1] = value
    with pytest.raises(ValueError, match="an action of episode 2 is NaN or infinite: leave out the end"):
        collate(samples)


def test_actions_of_another_size_are_refused_before_they_reach_the_model() -> None:
    with pytest.raises(ValueError, match="actions have 2 numbers, and the world model has action_size=3"):
        ActionCollate(action_size=3)(samples_of(2))


def test_samples_without_actions_are_for_features_alone() -> None:
    assert ActionCollate(action_size=2)([Sample(torch.zeros(2, 5, 4, 4))] * 2).extras == {}
