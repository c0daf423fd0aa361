import pytest
import torch

from jepa_lightning.cli.device import chosen_device
from jepa_lightning.cli.errors import UsageError


def test_the_cpu_is_always_there() -> None:
    assert chosen_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("there", [True, False])
def test_auto_is_a_gpu_where_there_is_one(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    asked = []
    monkeypatch.setattr(torch, "zeros", lambda _, device: asked.append(device))
    expected = torch.device("cuda" if there else "cpu")
    assert chosen_device("auto") == expected
    assert asked == [expected]  # whether it can be used


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "1", "cuda:-1", "cuda:99", f"cuda:{10**20}", "tpu", "meta", "hpu"])
def test_a_device_that_is_none_or_not_there_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^--device {name} is not there: give cpu, cuda, cuda:1 or auto\.$"):
        chosen_device(name)


def test_a_build_without_cuda_is_no_fault_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.raises(UsageError, match="--device cuda is not there"):
        chosen_device("cuda")
