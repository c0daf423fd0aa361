"""The command as a whole, on an environment of 8 by 8 pixels."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jepa_lightning.cli import plan
from jepa_lightning.cli.main import main
from jepa_lightning.cli.planning.output import MADE_BY, results_in, write
from jepa_lightning.evaluation import wilson_interval

pytestmark = pytest.mark.usefixtures("line_envs")

SMALL = ("--planner.num_samples", "6", "--planner.iterations", "1", "--planner.horizon", "4", "--device", "cpu")
KEYS = {
    "success",
    "interval",
    "random",
    "oracle",
    "zero",
    "seconds_per_plan",
    "episodes",
    "seeds",
    "versions",
    "command",
}


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Plans, and reads what was written."""

    def call(*options: str, planner: str = "MPPI", env: str = "tests/Line-v0", output: str = "out") -> dict[str, Any]:
        out = tmp_path / output
        given = ("--ckpt_path", str(checkpoint), "--env", env, "--planner", planner, "--output", str(out))
        main(["plan", *given, *SMALL, *options])
        return json.loads((out / "results.json").read_text())

    return call


@pytest.fixture
def error(capsys: pytest.CaptureFixture[str], checkpoint: Path, tmp_path: Path) -> Callable[..., str]:
    """The one line that the command ends in."""

    def call(*options: str, ckpt: Path = checkpoint, env: str = "tests/Line-v0") -> str:
        with pytest.raises(SystemExit) as end:
            main(
                ["plan", "--ckpt_path", str(ckpt), "--env", env, *SMALL, "--episodes", "2", "--output", "out", *options]
            )
        assert end.value.code in (1, 2)
        # after a second a progress bar is there, which removes itself by going back to the start of the line
        (line,) = capsys.readouterr().err.rpartition("\r")[2].splitlines()
        return line.removeprefix("jepa-lightning: error: ")

    return call


@pytest.mark.parametrize("planner", ["MPPI", "CEM", "ICEM", "GradientPlanner"])
def test_results_have_the_baselines_of_the_same_episodes(
    run: Callable[..., Any], planner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run("--episodes", "5", "--seed", "3", "--replan_every", "2", planner=planner)
    assert set(results) >= KEYS
    assert results["seeds"] == [3, 4, 5, 6, 7]
    assert results["success"] == sum(results["episode_success"]) / 5
    assert results["interval"] == pytest.approx(wilson_interval(sum(results["episode_success"]), 5))
    assert (results["oracle"], results["zero"]) == (1.0, 0.0)
    assert results["planner"].startswith(f"{planner}(horizon=4, num_samples=6")
    assert results["seconds_per_plan"] > 0
    assert results["max_steps"] == 30
    assert len(results["rollout_error"]["true"]) == 16
    assert results["distance"] is None  # this environment names no positions
    with Image.open(tmp_path / "out" / "episodes.gif") as film:
        assert film.format == "GIF"
    printed = capsys.readouterr().out
    assert re.search(r"^oracle +100 % +57 to 100 % +\d+$", printed, re.MULTILINE)
    assert str(tmp_path / "out" / "results.json") in printed


def test_the_same_seed_is_the_same_result(run: Callable[..., Any]) -> None:
    first = run("--episodes", "4", output="a")
    assert run("--episodes", "4", output="b")["episode_success"] == first["episode_success"]
    assert run("--episodes", "4", "--overwrite", "true", output="b")["rollout_error"] == first["rollout_error"]


def test_episodes_that_start_at_their_goal_are_replaced(run: Callable[..., Any]) -> None:
    results = run("--episodes", "12", env="tests/Easy-v0")
    assert len({*results["seeds"]}) == 12
    assert max(results["seeds"]) > 11
    assert results["zero"] == 0.0


def test_actions_between_two_frames_are_planned_together(run: Callable[..., Any], save: Any) -> None:
    from jepa_lightning import WorldModel

    path = save(
        WorldModel(width=16, image_size=8, num_frames=4, rollout_steps=2, inverse_hidden=8, action_size=4, frame_skip=2)
    )
    results = run("--ckpt_path", str(path), "--episodes", "2", "--replan_every", "2")
    assert results["frame_skip"] == 2
    assert len(results["rollout_error"]["true"]) > 1


def test_a_model_in_pixel_space_is_planned_with_on_the_same_episodes(
    run: Callable[..., Any], save: Any, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from jepa_lightning import WorldModel
    from jepa_lightning.nn import PixelGrid

    pixels = WorldModel(
        {"class_path": "jepa_lightning.nn.PixelGrid", "init_args": {"in_channels": 2, "grid": [1, 8]}},
        image_size=8, num_frames=4, rollout_steps=2,
    )  # fmt: skip
    assert isinstance(pixels.encoder, PixelGrid)
    path = save(pixels, "pixels.ckpt")
    results = run("--episodes", "4", "--pixels", str(path), output="both")
    alone = run("--episodes", "4", "--ckpt_path", str(path), output="alone")
    assert (results["pixels"], results["pixels_interval"]) == (alone["success"], alone["interval"])
    assert (alone["pixels"], alone["pixels_checkpoint"]) == (None, None)
    assert results["pixels_checkpoint"] == str(path)
    assert re.search(r"^pixels +\d+ %", capsys.readouterr().out, re.MULTILINE)


def test_a_model_in_pixel_space_has_to_fit_too(error: Callable[..., str], save: Any) -> None:
    from jepa_lightning import WorldModel

    pixels = WorldModel(
        {"class_path": "jepa_lightning.nn.PixelGrid", "init_args": {"in_channels": 2, "grid": [1, 8]}},
        image_size=8, num_frames=4, rollout_steps=2, action_size=3,
    )  # fmt: skip
    path = save(pixels, "other.ckpt")
    assert error("--pixels", str(path)).startswith("the world model takes actions of 3 numbers, and tests/Line-v0 has")


def test_a_model_whose_encoder_has_weights_is_not_in_pixel_space(error: Callable[..., str], checkpoint: Path) -> None:
    said = error("--pixels", str(checkpoint))
    assert said.startswith(f"--pixels {checkpoint} is of a model whose encoder has weights, and so is not in pixel")


def test_positions_give_the_curve_of_distances_in_two_rooms(run: Callable[..., Any], save: Any) -> None:
    from jepa_lightning import WorldModel

    path = save(WorldModel(width=16, num_frames=4, rollout_steps=2, inverse_hidden=8))
    results = run("--ckpt_path", str(path), "--episodes", "3", "--max_steps", "6", env="jepa_lightning/TwoRooms-v0")
    assert len(results["distance"]["true"]) == len(results["distance"]["latent"]) == 10
    assert results["distance"]["true"] == sorted(results["distance"]["true"])
    assert results["random"] == results["zero"] == 0.0


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"env": "tests/Blind-v0"}, "tests/Blind-v0 has no images: it observes Box("),
        ({"env": "tests/Gray-v0"}, "tests/Gray-v0 gives images of 1 channels, and the world model takes 2: plan in"),
        (
            {"env": "tests/Fast-v0"},
            "the world model takes actions of 2 numbers, and tests/Fast-v0 has 4.",
        ),
        ({"env": "tests/Other-v0"}, "the goal images have the size [7, 8, 2], and the observations [8, 8, 2]"),
        ({"env": "tests/Nothing-v0"}, "there is no environment 'tests/Nothing-v0'"),
    ],
)
def test_an_environment_that_does_not_fit_is_one_line(error: Callable[..., str], options: Any, fault: str) -> None:
    assert error(**options).startswith(fault)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--planner.horizon", "0"), "MPPI: horizon=0 is out of range: give a number in [1, 1e9]."),
        (("--replan_every", "9"), "replan_every=9 is more than horizon=4 has actions"),
        (("--max_steps", "31"), "max_steps=31: episodes of tests/Line-v0 end after 30."),
        (("--device", "gpu"), "--device gpu is not there: give cpu, cuda, cuda:1 or auto."),
        (("--ckpt_path", "none.ckpt"), "there is no checkpoint none.ckpt"),
    ],
)
def test_an_option_that_does_not_fit_is_one_line(error: Callable[..., str], options: Any, fault: str) -> None:
    assert error(*options).startswith(fault)


def test_a_frame_skip_is_named_where_it_would_fit(error: Callable[..., str], save: Any) -> None:
    from jepa_lightning import WorldModel

    path = save(WorldModel(width=16, image_size=8, num_frames=4, rollout_steps=2, inverse_hidden=8, action_size=10))
    said = error(ckpt=path)
    assert said.startswith(
        "the world model takes actions of 10 numbers, and tests/Line-v0 has 2: set frame_skip to 5 if"
    )


def test_a_checkpoint_of_another_class_is_one_line(error: Callable[..., str], other_checkpoint: Path) -> None:
    assert "IJEPA" in error(ckpt=other_checkpoint)


def test_without_gymnasium_it_is_said_how_to_install_it(
    error: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jepa_lightning.planning.making.find_spec", lambda name: None)
    assert error() == "planning needs gymnasium: pip install 'jepa_lightning[worlds]'"


def test_results_of_another_run_stay(run: Callable[..., Any], error: Callable[..., str], tmp_path: Path) -> None:
    run("--episodes", "2", "--max_steps", "5")
    before = (tmp_path / "out" / "results.json").read_bytes()
    assert "is there already: give another --output, or --overwrite true" in error("--output", str(tmp_path / "out"))
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_a_folder_is_for_one_run_at_a_time(
    run: Callable[..., Any], error: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "out", plan.make_task

    def another_is_faster(*arguments: Any) -> Any:
        write(out, {"success": 1}, None)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(plan, "make_task", another_is_faster)
        assert "is there already: give another --output" in error("--output", str(out))
    holds = (
        "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.lockf(file, fcntl.LOCK_EX); print(flush=True); input()"
    )
    command = [sys.executable, "-c", holds, str(out / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        said = error("--output", str(out), "--overwrite", "true")
        process.kill()
    assert said.startswith(f"another run is writing to {out} (")
    assert results_in(out / "results.json", MADE_BY) == {"made_by": MADE_BY, "success": 1}


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["plan", "--help"])
    assert end.value.code == 0
    assert "--planner MPPI --episodes 100" in " ".join(capsys.readouterr().out.split())
    main(["--help"])
    assert "plan with a world model" in capsys.readouterr().out
