import math
from collections.abc import Callable
from typing import Any

import pytest

from jepa_lightning import SimCLR
from jepa_lightning.options import LearningRate

Build = Callable[..., Any]
# samples a step and the paper's rule for the rate: of batch / 256, or of its root for SimCLR's small batches (B.1)
RULES: dict[str, Callable[[int], float] | None] = {
    "SimCLR": lambda batch: 0.075 * math.sqrt(batch),
    "BYOL": lambda batch: 0.2 * batch / 256,
    "MoCo v2": lambda batch: 0.03 * batch / 256,
    "MoCo v3": lambda batch: 1.5e-4 * batch / 256,
    "SimSiam": lambda batch: 0.05 * batch / 256,
    "DINO": lambda batch: 5e-4 * batch / 256,
    "MAE": lambda batch: 1.5e-4 * batch / 256,
    "VICReg": lambda batch: 0.2 * batch / 256,
    "BarlowTwins": lambda batch: 0.2 * batch / 256,
    "LeJEPA": None,  # one rate for all batches
}


def said(recwarn: pytest.WarningsRecorder) -> list[str]:
    return [text for each in recwarn if "samples a step" in (text := str(each.message))]


def fit(module: Any, quiet_trainer: Build, data: Any, **options: Any) -> None:
    quiet_trainer(max_steps=2, limit_val_batches=0, num_sanity_val_steps=0, **options).fit(module, data)


@pytest.mark.parametrize("name", RULES)
def test_one_warning_has_the_rate_of_the_papers_rule(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, recwarn: pytest.WarningsRecorder, name: str
) -> None:
    module, rule = tiny_method(name), RULES[name]
    fit(module, quiet_trainer, shapes(batch_size=8), accumulate_grad_batches=2)
    if rule is None:
        assert not said(recwarn)
        return
    (text,) = said(recwarn)
    assert rule(module.paper_batch) == pytest.approx(module.lr)
    assert "this run has 16:" in text
    assert f"set lr={rule(16):.3g} (" in text
    assert "\n" not in text


@pytest.mark.parametrize("options", [{"lr": 0.3}, {"optimizer": "adamw", "lr": 1e-3}, {"optimizer": "sgd", "lr": 0.1}])
def test_a_rate_that_was_given_is_not_judged(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, recwarn: pytest.WarningsRecorder, options: dict[str, Any]
) -> None:
    fit(tiny_method("SimCLR", **options), quiet_trainer, shapes())
    assert not said(recwarn)


def test_the_default_of_a_subclass_is_not_judged(
    shapes: Build, quiet_trainer: Build, recwarn: pytest.WarningsRecorder
) -> None:
    class Slower(SimCLR):
        def __init__(self, lr: LearningRate = 0.1, **kwargs: Any) -> None:
            super().__init__(lr=lr, **kwargs)

    fit(Slower(encoder="vit_tiny", width=48, depth=1, heads=3, image_size=32, patch_size=8), quiet_trainer, shapes())
    assert not said(recwarn)


@pytest.mark.parametrize(("accumulated", "warns"), [(8, False), (7, True)])
def test_a_quarter_of_the_papers_batch_is_far_below(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, recwarn: pytest.WarningsRecorder, accumulated: int,
    warns: bool,
) -> None:  # fmt: skip
    module = tiny_method("SimSiam")
    module.paper_batch = 16 * 8 * 4 - 1
    fit(module, quiet_trainer, shapes(), accumulate_grad_batches=accumulated)
    assert bool(said(recwarn)) == warns


def test_each_fit_warns_once(tiny_method: Build, shapes: Build, quiet_trainer: Build) -> None:
    module = tiny_method("SimCLR")
    for _ in range(2):
        with pytest.warns(UserWarning, match="samples a step") as found:
            fit(module, quiet_trainer, shapes())
        assert len(said(found)) == 1
