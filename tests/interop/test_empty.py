import pytest
import torch
from torch import nn

from jepa_lightning.interop.empty import fill_, without_weights


class Tabled(nn.Module):
    """A layer with a table that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("table", torch.arange(4.0))
        self.register_buffer("hidden", torch.linspace(0, 1, 3), persistent=False)


def built() -> Tabled:
    with without_weights():
        return Tabled()


def test_parameters_take_no_memory_and_tables_are_computed() -> None:
    network = built()
    assert all(parameter.is_meta for parameter in network.parameters())
    assert network.table.tolist() == [0, 1, 2, 3]
    assert network.hidden.tolist() == [0, 0.5, 1]


def test_what_is_built_afterwards_has_weights_even_if_the_block_has_failed() -> None:
    with pytest.raises(ZeroDivisionError), without_weights():
        _ = 1 / 0
    assert not nn.Linear(3, 2).weight.is_meta
    with without_weights():
        assert not torch.empty(2, device="cpu").is_meta  # a device that is asked for


@pytest.mark.parametrize("empty", [True, False])
def test_tensors_are_taken_without_a_copy_in_the_type_of_the_network(empty: bool) -> None:
    network = built() if empty else Tabled()
    network.layer.weight.requires_grad_(False)
    state = {name: torch.rand(value.shape) for name, value in network.state_dict().items()}
    state["layer.bias"] = state["layer.bias"].half()
    fill_(network, state)
    assert network.layer.weight.data_ptr() == state["layer.weight"].data_ptr()
    assert network.layer.bias.dtype == torch.float32
    assert torch.equal(network.layer.bias, state["layer.bias"].float())
    assert torch.equal(network.table, state["table"])
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, True]
    assert isinstance(network.layer.weight, nn.Parameter)
    assert network.layer(torch.ones(1, 3)).shape == (1, 2)


@pytest.mark.parametrize("fault", ["lacks", "has more", "has another shape"])
def test_all_of_the_tensors_are_given_and_no_others(fault: str) -> None:
    network = built()
    state = {name: torch.rand(value.shape) for name, value in network.state_dict().items()}
    if fault == "lacks":
        del state["layer.bias"]
    else:
        state["more" if fault == "has more" else "layer.bias"] = torch.ones(7)
    with pytest.raises(RuntimeError, match=r"layer\.bias|more"):
        fill_(network, state)
