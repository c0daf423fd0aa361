import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from jepa_lightning import BYOL, IJEPA, SimCLR
from jepa_lightning.callbacks import LastCheckpoint
from jepa_lightning.checkpoints import MADE_BY, CheckpointFiles
from jepa_lightning.modules.portable import name_states_

Build = Callable[..., Any]
VERSION = {"pytorch-lightning_version": "2.6.0"}


def trained(module: nn.Module, *groups: Any, **options: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW([{"params": list(group)} for group in groups], **options)
    for parameter in module.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return optimizer


def test_states_get_the_names_of_their_parameters() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights, biases = (module[0].weight, module[1].weight), (module[0].bias, module[1].bias)
    optimizer = trained(module, weights, biases)
    state = optimizer.state_dict()
    name_states_(state, optimizer, module)
    assert [group["params"] for group in state["param_groups"]] == [["0.weight", "1.weight"], ["0.bias", "1.bias"]]
    for name, parameter in module.named_parameters():
        assert state["state"][name]["exp_avg"] is optimizer.state[parameter]["exp_avg"]
    # an optimizer takes them
    other = trained(module, weights, biases)
    other.load_state_dict(state)
    for parameter in module.parameters():
        assert torch.equal(other.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"])
    again = {part: dict(value) if part == "state" else value for part, value in state.items()}
    name_states_(again, optimizer, module)
    assert again == state


def test_what_another_rank_holds_stays_empty() -> None:
    module = nn.Linear(2, 3)
    optimizer = trained(module, module.parameters())
    nothing: dict[str, Any] = {}
    name_states_(nothing, optimizer, module)
    assert nothing == {}


def test_checkpoints_have_names_and_may_hold_weights_alone(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module := tiny_ijepa(), shapes())
    trainer.save_checkpoint(tmp_path / "all.ckpt")
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    state = torch.load(tmp_path / "all.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    assert set(state) == {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert "optimizer_states" not in torch.load(tmp_path / "weights.ckpt", weights_only=True)


class BreakAt(Callback):
    """Makes one gradient NaN in a step, and so one weight."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if trainer.global_step == self.step - 1:
            gradient = next(pl_module.parameters()).grad
            gradient.view(-1)[0] = math.nan


@pytest.mark.parametrize("kind", [ModelCheckpoint, LastCheckpoint])
def test_weights_that_are_not_finite_replace_no_checkpoint(
    kind: Any, tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    options = {"every_n_steps": 2} if kind is LastCheckpoint else {"every_n_train_steps": 2, "filename": "last"}
    saver, model = kind(tmp_path / "kept", **options), tiny_ijepa()
    trainer = quiet_trainer(
        max_steps=6, callbacks=[BreakAt(4), saver], enable_checkpointing=True, num_sanity_val_steps=0
    )
    line = (
        r"^weights are not finite at step 4, learning rate [\d.e-]+\. Checkpoints are from before this step: lower the "
        r"learning rate, lengthen the warm-up or clip gradients .*, and resume with --ckpt_path last\.$"
    )
    with pytest.raises(FloatingPointError, match=line):
        trainer.fit(model, shapes())
    (kept,) = (tmp_path / "kept").iterdir()
    found = torch.load(kept, weights_only=True)
    assert found["global_step"] == 2
    assert all(value.isfinite().all() for value in found["state_dict"].values())
    quiet_trainer(max_steps=6).fit(tiny_ijepa(), shapes(), ckpt_path=kept)


def test_all_ranks_agree_that_weights_are_not_finite(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(), shapes())
    asked: list[bool] = []

    def another_rank_says_no(decision: bool, all: bool = True) -> bool:
        asked.append(decision and all)
        return False

    monkeypatch.setattr(trainer.strategy, "reduce_boolean_decision", another_rank_says_no)
    with pytest.raises(FloatingPointError, match="weights are not finite"):
        trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert asked == [True]
    assert not (tmp_path / "last.ckpt").exists()


def saved(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, path: Path, **options: Any) -> IJEPA:
    trainer, model = quiet_trainer(max_steps=1), tiny_ijepa(**options)
    trainer.fit(model, shapes())
    trainer.save_checkpoint(path)
    found: IJEPA = model
    return found


def test_a_checkpoint_is_opened_at_another_image_size(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    model = saved(tiny_ijepa, shapes, quiet_trainer, tmp_path / "last.ckpt")
    large, fresh = IJEPA.load_from_checkpoint(tmp_path / "last.ckpt", image_size=64), tiny_ijepa(image_size=64)
    tables = {name for name in fresh.state_dict() if name.endswith("pos_embed")}
    assert len(tables) == 3
    for name, value in large.state_dict().items():
        assert torch.equal(value, (fresh if name in tables else model).state_dict()[name])
    assert large(torch.rand(2, 3, 64, 64)).shape == (2, 48)
    trainer = quiet_trainer(plugins=[CheckpointFiles()])
    trainer.validate(fresh, shapes(image_size=64), ckpt_path=tmp_path / "last.ckpt", verbose=False)
    torch.testing.assert_close(fresh.state_dict(), large.state_dict(), rtol=0, atol=0)
    with pytest.raises(RuntimeError, match=r"size mismatch for context_encoder\.patch_embed\.proj\.weight"):
        IJEPA.load_from_checkpoint(tmp_path / "last.ckpt", patch_size=4)


def test_learned_positions_of_another_size_are_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"encoder": "vit_tiny_patch16_224", "projector_hidden": 16, "projector_dim": 8}
    model = SimCLR(**options, image_size=32)
    table = next(name for name, _ in model.named_parameters() if name.endswith("pos_embed"))
    content = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams), **VERSION}
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(RuntimeError, match=f"size mismatch for {table}"):
        SimCLR.load_from_checkpoint(tmp_path / "last.ckpt", image_size=64)


def test_weights_alone_and_another_optimizer_are_refused_before_training(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    saved(tiny_ijepa, shapes, quiet_trainer, path)
    for strategy in ("auto", "fsdp2"):
        options = {"strategy": strategy, "max_steps": 2}
        with pytest.raises(ValueError, match="saved with the optimizer AdamW, and this run has SGD"):
            quiet_trainer(**options).fit(tiny_ijepa(optimizer="sgd"), shapes(), ckpt_path=path)
        content = torch.load(path, weights_only=True)
        del content["optimizer_states"]
        torch.save(content, tmp_path / "weights.ckpt")
        with pytest.raises(ValueError, match="it holds weights, and no optimizer_states"):
            quiet_trainer(**options).fit(tiny_ijepa(), shapes(), ckpt_path=tmp_path / "weights.ckpt")
        quiet_trainer(**options).validate(tiny_ijepa(), shapes(), ckpt_path=tmp_path / "weights.ckpt", verbose=False)
        quiet_trainer(**options).fit(tiny_ijepa(), shapes(), ckpt_path=path)


def test_a_file_that_is_trusted_may_hold_more_than_plain_data(tiny_ijepa: Build, tmp_path: Path) -> None:
    model = tiny_ijepa()
    more = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams), **VERSION, "more": Path("a")}
    torch.save(more, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="holds more than plain data"):
        IJEPA.load_from_checkpoint(tmp_path / "last.ckpt")
    assert IJEPA.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=False).hparams == model.hparams


OTHER = r"is a checkpoint of jepa_lightning\.modules\.ijepa\.IJEPA, not of \S+\.BYOL: load it as IJEPA"


def test_a_checkpoint_of_another_method_is_refused_by_its_class(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    path = tmp_path / "ijepa.ckpt"
    model = saved(tiny_ijepa, shapes, quiet_trainer, path)
    with pytest.raises(ValueError, match=rf"^\S+ijepa\.ckpt {OTHER}"):
        BYOL.load_from_checkpoint(path)
    other = BYOL("vit_tiny", width=48, depth=1, heads=3, image_size=32, patch_size=8, projector_dim=8, lr=0.1)
    trainer = quiet_trainer()
    with pytest.raises(ValueError, match=f"^this file {OTHER}"):
        trainer.validate(other, shapes(), ckpt_path=path, verbose=False)

    class Mine(IJEPA): ...

    for cls in (IJEPA, Mine):
        torch.testing.assert_close(cls.load_from_checkpoint(path).state_dict(), model.state_dict(), rtol=0, atol=0)
    # a former file from Python, which does not say its class
    content = torch.load(path, weights_only=True)
    del content[MADE_BY]
    torch.save(content, path)
    assert IJEPA.load_from_checkpoint(path)
    with pytest.raises(
        ValueError, match=r"is a checkpoint of another class, and \S+BYOL has no option \w+: load it as"
    ):
        BYOL.load_from_checkpoint(path)
