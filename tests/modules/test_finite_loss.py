from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from jepa_lightning.modules import finite_loss
from jepa_lightning.modules.finite_loss import FiniteLoss

NAN, FINE = torch.tensor(float("nan")), torch.tensor(1.0)


class OnGPU(torch.Tensor):
    """A loss that says that it is on a GPU."""

    is_cuda = True

    def detach(self) -> "OnGPU":
        return self


def on_gpu(value: Tensor) -> Tensor:
    return value.clone().as_subclass(OnGPU)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the host has waited for, in its order."""
    seen: list[float] = []

    def copy_to_host(value: Tensor) -> Callable[[], float]:
        def read() -> float:
            seen.append(float(value))
            return seen[-1]

        return read

    monkeypatch.setattr(finite_loss, "_copy_to_host", copy_to_host)
    return seen


@pytest.mark.parametrize("bad", [NAN, torch.tensor(float("inf")), torch.tensor(float("-inf"))])
def test_on_a_cpu_the_step_itself_is_refused(bad: Tensor) -> None:
    losses = FiniteLoss()
    losses.add(FINE, 0, 0.1)
    with pytest.raises(FloatingPointError, match=rf"the loss is {bad.item()} at step 7, learning rate 0\.02\. .*last"):
        losses.add(bad, 7, 0.02)


def test_on_a_gpu_the_host_reads_a_loss_when_the_next_one_is_there(reads: list[float]) -> None:
    losses = FiniteLoss()
    for step in range(3):
        losses.add(on_gpu(torch.tensor(float(step))), step, 0.1)
        assert reads == list(range(step))


def test_on_a_gpu_the_step_before_is_named(reads: list[float]) -> None:
    losses = FiniteLoss()
    losses.add(on_gpu(NAN), 3, 0.1)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 3"):
        losses.add(on_gpu(FINE), 4, 0.1)


def test_a_check_reads_what_is_pending_and_once_alone(reads: list[float]) -> None:
    losses = FiniteLoss()
    losses.add(on_gpu(NAN), 3, 0.1)
    with pytest.raises(FloatingPointError, match="at step 3"):
        losses.check()
    losses.check()
    assert len(reads) == 1
