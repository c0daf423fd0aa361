import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.data import ClipSampler, TrajectoryDataModule, masked_video_pipeline

LENGTHS = (9, 5, 12, 7)
OFFSETS = (0, 9, 14, 26)
Write = Callable[..., Path]


def windows(data: TrajectoryDataModule) -> list[tuple[int, Any]]:
    """All windows with the row of their first frame."""
    data.setup()
    found = [sample for part in (data.train_set, data.val_set) for sample in part]
    return [(int(sample.media[0, 0, 0, 0]), sample) for sample in found]


@pytest.mark.parametrize(("num_frames", "skip", "stride"), [(3, 1, 1), (2, 3, 1), (3, 2, 2), (5, 1, 3)])
def test_windows_are_those_of_a_loop_over_episodes(
    episodes_file: Write, num_frames: int, skip: int, stride: int
) -> None:
    data = TrajectoryDataModule(episodes_file(), num_frames, skip, stride)
    expected = [
        offset + start
        for offset, length in zip(OFFSETS, LENGTHS, strict=True)
        for start in range(0, length, stride)
        if start + (num_frames - 1) * skip < length
    ]
    found = windows(data)
    assert sorted(row for row, _ in found) == sorted(expected)
    for row, sample in found:
        rows = [row + skip * t for t in range(num_frames)]
        assert sample.media.shape == (num_frames, 3, 6, 8)
        assert sample.media[:, 0, 0, 0].tolist() == rows
        assert sample.media[0, 1, :, 0].tolist() == [0, 1, 2, 3, 4, 5], "rows of the picture are rows"
        assert sample.extras["states"].tolist() == [[10.0 * r] for r in rows]
        # all actions between two frames, and never that of the last one
        steps = [[number for r in range(a, a + skip) for number in (r, 100 + r)] for a in rows[:-1]]
        assert sample.extras["actions"].tolist() == steps
        assert sample.extras["actions"].dtype == sample.extras["states"].dtype == torch.float32
        episode = max(i for i, offset in enumerate(OFFSETS) if offset <= row)
        assert sample.path == f"{data.path.name}:{episode}@{row - OFFSETS[episode]}"
        assert rows[-1] < OFFSETS[episode] + LENGTHS[episode]


def test_single_frames_are_images_with_their_state(episodes_file: Write) -> None:
    data = TrajectoryDataModule(episodes_file(), 1, stride=3)
    data.setup()
    found = [sample for part in (data.train_set, data.val_set) for sample in part]
    assert sorted(int(image[0, 0, 0]) for image, *_ in found) == [0, 3, 6, 9, 12, 14, 17, 20, 23, 26, 29, 32]
    assert all(labels["state"].tolist() == [10.0 * image[0, 0, 0]] for image, labels, *_ in found)
    assert {extras for *_, extras in found} == {None}


def test_whole_episodes_are_set_apart(episodes_file: Write) -> None:
    path = episodes_file((6,) * 20)
    seen = []
    for seed in (0, 0, 1):
        data = TrajectoryDataModule(path, 3, val_fraction=0.25, seed=seed)
        data.setup()
        train, val = ({sample.path.split("@")[0] for sample in part} for part in (data.train_set, data.val_set))
        assert (len(train), len(val)) == (15, 5)
        assert not train & val
        seen.append(val)
    assert seen[0] == seen[1] != seen[2]


def test_short_episodes_are_counted_named_and_left_out(episodes_file: Write) -> None:
    data = TrajectoryDataModule(episodes_file(), 4, frame_skip=2)
    name = data.path.name
    with pytest.warns(
        UserWarning, match=rf"1 of 4 episodes have fewer frames than the 7 of a window.*{name}:1 \(5\)\."
    ):
        rows = [row for row, _ in windows(data)]
    assert {OFFSETS[0], OFFSETS[2], OFFSETS[3]} <= set(rows)
    assert not set(range(OFFSETS[1], OFFSETS[2])) & set(rows)
    with pytest.raises(ValueError, match="1 of 4 episodes have the 10 frames of a window, and two are needed"):
        TrajectoryDataModule(data.path, 10).setup()


def test_statistics_are_those_of_the_rows_for_training(episodes_file: Write) -> None:
    draw = np.random.default_rng(0)
    action = draw.normal(size=(33, 3)) * [1, 100, 0] + [5, 1e4, 7]
    rows = np.arange(33)
    path = episodes_file(
        action=np.where(np.isin(rows, [8, 32])[:, None], np.nan, action), state=draw.random((33, 2, 2))
    )
    data = TrajectoryDataModule(path, 3, frame_skip=2, states=["state"])
    data.setup()
    used = np.concatenate([rows[OFFSETS[e] : OFFSETS[e] + LENGTHS[e]] for e in data.train_set.chosen])  # type: ignore[attr-defined]
    kept = action[[row for row in used if row not in (8, 32)]]
    assert (data.action_size, data.state_size, data.in_channels) == (6, 4, 3)
    np.testing.assert_allclose(data.action_mean, np.tile(kept.mean(0), 2), rtol=1e-5)
    np.testing.assert_allclose(data.action_std, np.tile([*kept.std(0)[:2], 1.0], 2), rtol=1e-4)
    with path.open("rb"):
        import h5py

        with h5py.File(path) as file:
            states = file["state"][:].reshape(33, 4)[used]
    np.testing.assert_allclose(data.state_mean, states.mean(0), rtol=1e-5)
    np.testing.assert_allclose(data.state_std, states.std(0), rtol=1e-5)


def test_columns_of_states_are_put_side_by_side(episodes_file: Write) -> None:
    path = episodes_file(agent=np.arange(66).reshape(33, 2), open=np.arange(33) % 2 == 0, state=None)
    data = TrajectoryDataModule(path, 2, states=("open", "agent"))
    row, sample = windows(data)[0]
    assert sample.extras["states"].tolist() == [[float(r % 2 == 0), 2.0 * r, 2.0 * r + 1] for r in (row, row + 1)]
    none = TrajectoryDataModule(path, 2)
    assert "states" not in windows(none)[0][1].extras
    assert none.state_size == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_through_workers(episodes_file: Write, num_workers: int) -> None:
    pipeline = masked_video_pipeline(
        (6, 8),
        ClipSampler(3),
        (),
        crop_scale=(1.0, 1.0),
        crop_ratio=(8 / 6, 8 / 6),
        flip=0.0,
        mean=(0,) * 3,
        std=(1,) * 3,
    )
    data = TrajectoryDataModule(episodes_file(), 3, batch_size=4, num_workers=num_workers, pipeline=pipeline)
    data.setup()
    batches = list(data.val_dataloader())
    first = torch.cat([batch.views[0][:, 0, :, 0, 0] for batch in batches]) * 255
    states = torch.cat([batch.extras["states"] for batch in batches])
    torch.testing.assert_close(first * 10, states.squeeze(2), atol=1e-3, rtol=0)
    assert torch.cat([batch.extras["actions"] for batch in batches]).isfinite().all()


def test_data_sets_are_pickled_without_their_open_file(episodes_file: Write) -> None:
    data = TrajectoryDataModule(episodes_file(), 3)
    data.setup()
    again = pickle.loads(pickle.dumps(data.train_set))
    assert torch.equal(again[2].media, data.train_set[2].media)


def test_channels_that_do_not_fit(episodes_file: Write) -> None:
    with pytest.raises(ValueError, match=r"has frames of 3 channels, and in_channels, .* are for 2"):
        TrajectoryDataModule(episodes_file(), 3, mean=(0.1, 0.2), std=(1, 1)).setup()


@pytest.mark.parametrize("row", [3, 30])  # of both parts
def test_infinite_states_are_refused_and_those_that_are_not_known_are_left_out(episodes_file: Write, row: int) -> None:
    states = np.arange(33.0)[:, None]
    states[row] = np.inf
    with pytest.raises(ValueError, match=rf":{0 if row == 3 else 3} has an infinite state at step {row % 26 % 9}"):
        TrajectoryDataModule(episodes_file(state=states), 3).setup()
    states[row] = np.nan
    data = TrajectoryDataModule(episodes_file(state=states), 3)
    data.setup()
    assert np.isfinite([*data.state_mean, *data.state_std]).all()
