"""A checkpoint that cannot be used ends in the same line on every way in, before anything is trained."""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning.cli.main import main

Build = Callable[..., Any]
PATH = Path("bad.ckpt")


@pytest.fixture
def good(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path) -> dict[str, Any]:
    """A checkpoint of a run of one step."""
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(), shapes())
    trainer.save_checkpoint(tmp_path / "good.ckpt")
    content: dict[str, Any] = torch.load(tmp_path / "good.ckpt", weights_only=True)
    return content


def error(capsys: Any, *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 1, said
    assert "Traceback" not in said
    return str(said.splitlines()[-1].removeprefix("jepa-lightning: error: "))


def truncated(good: dict[str, Any]) -> None:
    PATH.write_bytes(Path("good.ckpt").read_bytes()[:-500])


def empty(good: dict[str, Any]) -> None:
    PATH.touch()


def something_else(good: dict[str, Any]) -> None:
    PATH.write_text("not a checkpoint")


def of_another_code_base(good: dict[str, Any]) -> None:
    torch.save({"epoch": 1, "state_dict": {"module.encoder.weight": torch.ones(3)}}, PATH)


def bare_weights(good: dict[str, Any]) -> None:
    torch.save(good["state_dict"], PATH)


def pipe(good: dict[str, Any]) -> None:
    os.mkfifo(PATH)


def flipped_bit(good: dict[str, Any]) -> None:
    whole = bytearray(Path("good.ckpt").read_bytes())
    weight = good["state_dict"]["context_encoder.patch_embed.proj.weight"].numpy().tobytes()
    whole[whole.find(weight) + 1000] ^= 1
    PATH.write_bytes(whole)


def negative_step(good: dict[str, Any]) -> None:
    torch.save({**good, "global_step": -5}, PATH)


def damaged_version(good: dict[str, Any]) -> None:
    torch.save({**good, "pytorch-lightning_version": "abc"}, PATH)


def damaged_optimizer(good: dict[str, Any]) -> None:
    torch.save({**good, "optimizer_states": [3]}, PATH)


def damaged_loops(good: dict[str, Any]) -> None:
    torch.save({**good, "loops": {"fit_loop": 3}}, PATH)


def expanded(good: dict[str, Any]) -> None:
    torch.save({**good, "more": torch.zeros(1).expand(10**12)}, PATH)


KINDS = {
    truncated: r"cannot read bad.ckpt \(\d+ bytes\) as a checkpoint: it is truncated, or not a checkpoint",
    empty: "cannot read bad.ckpt: it is empty",
    something_else: r"cannot read bad.ckpt \(16 bytes\) as a checkpoint: it is truncated, or not a checkpoint",
    of_another_code_base: "bad.ckpt is not a Lightning checkpoint: it holds a dict of epoch, state_dict, and lacks",
    bare_weights: "bad.ckpt is not a Lightning checkpoint: it holds a dict of context_encoder",
    pipe: "cannot read bad.ckpt: it is not a regular file",
    flipped_bit: r"cannot read bad.ckpt .* it is damaged, archive/data/\d+ does not match its checksum",
    negative_step: "bad.ckpt is damaged: its global_step is -5",
    damaged_version: "bad.ckpt is damaged: its pytorch-lightning_version is 'abc'",
    damaged_optimizer: "bad.ckpt is damaged: its optimizer_states are not a list of dicts",
    damaged_loops: "bad.ckpt is damaged: its loops are not dicts",
    expanded: r"cannot read bad.ckpt: it has \d+ bytes, and its tensors claim 4\d+",
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_one_line_for_resuming_reading_and_starting_from_it(
    kind: Any, good: dict[str, Any], tiny_cli: str, capsys: Any
) -> None:
    kind(good)
    start = ["--trainer.callbacks+=StartFrom", "--trainer.callbacks.path=bad.ckpt"]
    lines = {error(capsys, command, "--config", tiny_cli, "--ckpt_path", "bad.ckpt") for command in ("fit", "predict")}
    lines.add(error(capsys, "fit", "--config", tiny_cli, *start))
    (line,) = lines

    assert re.match(KINDS[kind], line), line
    assert line.endswith(".")


@pytest.mark.slow
def test_what_cannot_be_resumed_is_said_before_training(good: dict[str, Any], tiny_cli: str, capsys: Any) -> None:
    resume = ["fit", "--config", tiny_cli, "--ckpt_path"]
    assert "AdamW, and this run has SGD: resume with the same" in error(
        capsys, *resume, "good.ckpt", "--model.optimizer=sgd"
    )
    weights = {name: value for name, value in good.items() if name not in ("optimizer_states", "lr_schedulers")}
    torch.save(weights, PATH)
    assert error(capsys, *resume, "bad.ckpt").startswith("training cannot be resumed from this checkpoint: it holds")
    main(["validate", "--config", tiny_cli, "--ckpt_path", "bad.ckpt"])
    torch.save({**good, "optimizer_states": []}, PATH)
    assert "it holds states of 0 optimizers, and this run has 1" in error(capsys, *resume, "bad.ckpt")


def test_predict_at_another_image_size(good: dict[str, Any], tiny_cli: str) -> None:
    size = ["--model.image_size=64", "--data.image_size=64"]
    main(["predict", "--config", tiny_cli, "--ckpt_path", "good.ckpt", *size, "--features", "out.npz"])
    assert Path("out.npz").is_file()


def test_weights_that_are_not_finite_do_not_replace_the_last_checkpoint(
    tiny_cli: str, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("breaking_weights.py").write_text(BREAKING)
    monkeypatch.syspath_prepend(str(tmp_path))
    callbacks = ["--trainer.callbacks+=breaking_weights.BreakAt", "--trainer.val_check_interval=2"]
    assert error(capsys, "fit", "--config", tiny_cli, *callbacks).startswith("weights are not finite at step 6, ")
    kept = {path.name: torch.load(path, weights_only=True) for path in Path("logs").rglob("*.ckpt")}
    assert kept.keys() == {"last.ckpt", "best.ckpt"}
    assert kept["last.ckpt"]["global_step"] == 4
    for content in kept.values():
        assert all(value.isfinite().all() for value in content["state_dict"].values())
    main(["fit", "--config", tiny_cli, "--ckpt_path", "last"])


BREAKING = """
import math
from lightning.pytorch import Callback

class BreakAt(Callback):
    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == 5:
            next(pl_module.parameters()).grad.view(-1)[0] = math.nan
"""


def test_an_index_that_claims_terabytes(good: dict[str, Any], tiny_cli: str, capsys: Any) -> None:
    save({"state_dict": good.pop("state_dict")}, checkpoint_id=PATH, no_dist=True)
    torch.save(good, PATH / "meta.pt")
    index = pickle.loads((PATH / ".metadata").read_bytes())
    name = "state_dict.context_encoder.patch_embed.proj.weight"
    index.state_dict_metadata[name].size = torch.Size([10**7, 10**6])
    (PATH / ".metadata").write_bytes(pickle.dumps(index))
    for command in (["validate", "--config", tiny_cli, "--ckpt_path", "bad.ckpt"], ["consolidate", "bad.ckpt", "out"]):
        assert "bad.ckpt/.metadata: it claims tensors of 4" in error(capsys, *command)
