"""Presets on the command line, fitted for two steps and planned with for two episodes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.cli.main import main

SMALL = ["--model.predictor_depth", "1", "--model.predictor_heads", "2", "--model.predictor_head_width", "8"]
SMALL += ["--model.predictor_hidden", "16", "--model.history", "2", "--model.num_frames", "3"]
SMALL += ["--model.prediction", "teacher_forcing"]
TRAINER = ["--trainer.accelerator", "cpu", "--trainer.max_steps", "2", "--trainer.num_sanity_val_steps", "0"]
TRAINER += ["--trainer.enable_progress_bar", "false"]
ROOMS = ["--data", "TwoRoomsDataModule", "--data.num_train", "8", "--data.num_val", "4", "--data.num_frames", "3"]
LAST = "logs/WorldModel/version_0/checkpoints/last.ckpt"
PLANNER = ["--planner", "CEM", "--planner.horizon", "10", "--planner.num_samples", "4", "--planner.iterations", "1"]


@pytest.fixture
def encoders(save: Callable[..., Path], tiny_ijepa: Any, monkeypatch: Any, tmp_path: Path) -> Callable[[str], list]:
    """Options of the command line for a kind of encoder, whose checkpoint is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])

    def build(kind: str) -> list[str]:
        if kind == "timm":
            return ["timm:vit_tiny_patch16_224", "--model.freeze_encoder", "true"]
        if kind == "ijepa":
            module: Any = tiny_ijepa(IJEPA, in_channels=2)
        else:
            module = VJEPA(
                "vit_tiny", 32, 8, num_frames=4, width=48, depth=1, heads=3, predictor_depth=1, predictor_dim=24,
                min_keep=1, in_channels=2,
            )  # fmt: skip
        return [str(save(module, f"{kind}.ckpt"))]

    return build


@pytest.mark.parametrize(
    "kind", ["ijepa", pytest.param("vjepa", marks=pytest.mark.slow), pytest.param("timm", marks=pytest.mark.slow)]
)
def test_a_frozen_encoder_is_fitted_on_and_planned_with(kind: str, encoders: Any) -> None:
    model = ["--model", "WorldModel", "--model.encoder", *encoders(kind), "--model.predictor", "tokens"]
    model += ["--model.predictor_dim", "16", "--model.image_size", "32", "--model.in_channels", "2", *SMALL]
    main(["fit", *model, *ROOMS, "--data.batch_size", "4", *TRAINER])
    given = ["--ckpt_path", LAST, "--env", "TwoRooms", *PLANNER, "--episodes", "2", "--max_steps", "10"]
    main(["plan", *given, "--output", "plans", "--device", "cpu"])
    results = json.loads(Path("plans/results.json").read_text())
    assert (results["checkpoint_step"], results["cost"]) == (2, "last")
    assert (results["oracle"], len(results["episode_success"])) == (0.0, 2)  # the expert needs more steps
    errors = results["rollout_error"]
    assert errors["true"] != errors["shuffled"] != errors["none"]


@pytest.mark.slow
def test_a_vector_learned_of_frozen_tokens_is_planned_with(encoders: Any) -> None:
    model = ["--model", "WorldModel", "--model.encoder", *encoders("ijepa"), "--model.state_width", "16"]
    model += ["--model.predictor", "mlp", "--model.predictor_hidden", "16", "--model.predictor_depth", "1"]
    model += ["--model.image_size", "32", "--model.num_frames", "3", "--model.rollout_steps", "2"]
    main(["fit", *model, *ROOMS, "--data.batch_size", "4", *TRAINER])
    Path("ijepa.ckpt").unlink()  # the new checkpoint has what it needs
    given = ["--ckpt_path", LAST, "--env", "TwoRooms", *PLANNER, "--episodes", "2", "--max_steps", "10"]
    main(["plan", *given, "--output", "plans", "--device", "cpu"])
    assert json.loads(Path("plans/results.json").read_text())["checkpoint_step"] == 2


@pytest.mark.slow
def test_push_t_is_recorded_fitted_on_and_planned_in(encoders: Any) -> None:
    pytest.importorskip("gym_pusht", reason="needs gym-pusht")
    main(["collect", "--env", "PushT", "--policy", "random", "--episodes", "2", "--max_steps", "80", "pusht.h5"])
    config = Path(__file__).parents[3] / "configs" / "world" / "pusht_lewm.yaml"
    sizes = ["--model.image_size", "28", "--model.depth", "1", "--model.projector", "16", "--model.num_directions", "8"]
    small = [
        "--data.batch_size",
        "2",
        "--data.num_workers",
        "0",
        "--data.stride",
        "8",
        "--trainer.precision",
        "32-true",
    ]
    main(["fit", "--config", str(config), *SMALL[:8], *sizes, *small, *TRAINER])
    given = ["--ckpt_path", LAST, "--env", "PushT", "--frame_skip", "5", *PLANNER, "--episodes", "2"]
    main(["plan", *given, "--max_steps", "10", "--output", "plans", "--device", "cpu"])
    results = json.loads(Path("plans/results.json").read_text())
    assert (results["oracle"], results["env"], results["frame_skip"]) == (None, "PushT", 5)
    assert len(results["distance"]["true"]) > 1
