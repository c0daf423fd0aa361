from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import BYOL
from jepa_lightning.evaluation.training import copied_encoder, fit_in

CPU = torch.device("cpu")


def test_a_copy_has_the_weights_and_not_the_memory_and_another_drop_path(tiny_ijepa: Any) -> None:
    module = tiny_ijepa()
    copy = copied_encoder(module, drop_path=0.5)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(copy.eval()(x), module.eval_encoder(x), rtol=0, atol=0)
        for parameter in copy.parameters():
            parameter.zero_()
    assert not torch.equal(module.eval_encoder.norm.weight, copy.network.norm.weight)
    assert copy.hparams["options"]["drop_path"] == 0.5
    assert module.hparams["drop_path"] == 0.0


def test_a_method_without_drop_path_is_copied_too() -> None:
    module = BYOL("resnet18", stem="cifar", image_size=32, projector_hidden=8, projector_dim=4)
    copy = copied_encoder(module, drop_path=0.5)
    assert ("drop_path" in copy.hparams["options"]) == ("drop_path" in module.hparams)
    state = module.eval_encoder.state_dict()
    assert all(torch.equal(state[name], value) for name, value in copy.network.state_dict().items())


@pytest.mark.parametrize(("steps", "done"), [(None, 8), (3, 3), (20, 8)])
def test_training_ends_with_the_epochs_or_the_steps_and_continues_from_its_folder(
    steps: int | None, done: int, tmp_path: Path, tiny_ijepa: Any, shapes: Any
) -> None:
    module = tiny_ijepa()
    fit_in(tmp_path, module, shapes(pipeline=module.pipeline()), CPU, epochs=2, steps=steps)
    assert module.global_step == done
    assert (tmp_path / "last.ckpt").is_file()
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"last.ckpt"}
    again = tiny_ijepa(lr=1.0)
    fit_in(tmp_path, again, shapes(pipeline=again.pipeline()), CPU, epochs=2, steps=steps)
    state = module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in again.state_dict().items())
