import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jepa_lightning.cli.planning import pictures
from jepa_lightning.cli.planning.pictures import colors, film, show_in_tensorboard
from jepa_lightning.planning.episodes import Episodes


def episodes(success: list[bool], steps: int = 3, side: int = 8) -> Episodes:
    number = len(success)
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (number, steps + 1, side, side, 2), dtype=torch.uint8)
    return Episodes(
        torch.tensor(success), torch.full((number,), steps), frames[:, 0], frames, torch.zeros(number, steps, 2),
        torch.zeros(number, steps + 1, 0), torch.zeros(number, 0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("success", "rows", "columns"), [([True] * 6, 1, 4), ([True, False, False], 2, 2), ([False], 1, 1)]
)
def test_successes_are_above_failures(success: list[bool], rows: int, columns: int) -> None:
    gif = film(episodes(success))
    assert gif is not None
    with Image.open(io.BytesIO(gif)) as image:
        cell = (2 * 136 + 18, 136 + 16 + 12)  # 17 times as large, with gaps and a line of text
        assert image.size == (columns * cell[0], rows * cell[1])
        assert image.n_frames == 4  # type: ignore[attr-defined]


def test_a_long_episode_is_shown_in_60_pictures() -> None:
    gif = film(episodes([True], steps=200))
    assert gif is not None
    with Image.open(io.BytesIO(gif)) as image:
        assert image.n_frames == 60  # type: ignore[attr-defined]


def test_nothing_recorded_is_no_film() -> None:
    assert film(episodes([])) is None


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_has_colors(channels: int) -> None:
    found = colors(torch.full((4, 6, channels), 255, dtype=torch.uint8))
    assert found.shape == (4, 6, 3)
    assert found.dtype == "uint8"


def test_of_two_channels_the_first_is_red_and_the_second_dark() -> None:
    dot, wall, free = (torch.tensor([[each]], dtype=torch.uint8) for each in ([255, 0], [0, 255], [0, 0]))
    assert [colors(each)[0, 0].tolist() for each in (dot, wall, free)] == [[200, 30, 40], [51, 51, 51], [255, 255, 255]]


def test_a_film_comes_into_the_tensorboard_of_the_run(tmp_path: Path) -> None:
    run = tmp_path / "version_0"
    checkpoint = run / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    gif = film(episodes([True, False]))
    assert gif is not None
    assert show_in_tensorboard(gif, checkpoint, 7) is None  # the run has no TensorBoard
    (run / "events.out.tfevents.1.host").touch()
    assert show_in_tensorboard(gif, checkpoint, 7) == run
    board = EventAccumulator(str(run), size_guidance={"images": 0}).Reload()
    (event,) = board.Images("plan/episodes")
    assert (event.step, event.encoded_image_string) == (7, gif)
    assert show_in_tensorboard(gif, tmp_path / "last.ckpt", 7) is None


def test_a_run_that_cannot_be_written_to_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "events.out.tfevents.1.host").touch()
    gif = film(episodes([True]))
    assert gif is not None
    monkeypatch.setattr(pictures, "FileWriter", refused)
    assert show_in_tensorboard(gif, tmp_path / "checkpoints" / "last.ckpt", 7) is None
