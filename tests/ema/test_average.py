import math

import pytest
import torch
from torch import nn

from jepa_lightning.ema import EMAPair, average, ema_decay, ema_update_, frozen_copy


class Network(nn.Module):
    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(self.norm(self.first(x))))


def test_frozen_copy_is_equal_shares_no_storage_and_keeps_type_and_names():
    online = Network()
    target = frozen_copy(online)
    assert type(target) is Network
    assert list(target.state_dict()) == list(online.state_dict())
    for name, value in online.state_dict().items():
        copied = target.state_dict()[name]
        assert torch.equal(copied, value)
        assert copied.untyped_storage().data_ptr() != value.untyped_storage().data_ptr()


def test_frozen_copy_is_frozen_and_in_eval_mode_while_the_original_stays_as_it_was():
    online = Network()
    target = frozen_copy(online)
    assert not any(p.requires_grad for p in target.parameters())
    assert not any(m.training for m in target.modules())
    assert all(p.requires_grad for p in online.parameters())
    assert all(m.training for m in online.modules())


def test_training_the_online_network_leaves_the_target_and_gives_it_no_gradient():
    online = Network()
    target = frozen_copy(online)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    x = torch.randn(8, 4)
    optimizer = torch.optim.SGD(online.parameters(), lr=0.1)
    (online(x) - target(x)).square().mean().backward()
    optimizer.step()
    assert all(p.grad is None for p in target.parameters())
    assert not torch.equal(online.first.weight, target.first.weight)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_update_equals_a_slow_loop_over_several_steps():
    torch.manual_seed(0)
    online, target = Network(), frozen_copy(Network())
    slow = {name: p.double().clone() for name, p in target.named_parameters()}
    for decay in (0.0, 0.5, 0.996, 1.0):
        for parameter in online.parameters():
            parameter.data.normal_()
        ema_update_(online, target, decay)
        for name, parameter in online.named_parameters():
            slow[name] = decay * slow[name] + (1 - decay) * parameter.detach().double()
        for name, parameter in target.named_parameters():
            torch.testing.assert_close(parameter.double(), slow[name], atol=1e-6, rtol=1e-6)


def test_update_is_in_place_leaves_buffers_and_the_online_network_and_builds_no_graph():
    online, target = Network(), frozen_copy(Network())
    online(torch.randn(8, 4))
    buffers = {name: value.clone() for name, value in target.named_buffers()}
    weights = {name: value.clone() for name, value in online.named_parameters()}
    places = [p.data_ptr() for p in target.parameters()]
    ema_update_(online, target, 0.9)
    assert online.norm.num_batches_tracked == 1
    assert target.norm.num_batches_tracked == 0
    assert target.norm.num_batches_tracked.dtype == torch.int64
    assert all(torch.equal(value, buffers[name]) for name, value in target.named_buffers())
    assert all(torch.equal(value, weights[name]) for name, value in online.named_parameters())
    assert [p.data_ptr() for p in target.parameters()] == places
    assert all(not p.requires_grad and p.grad_fn is None for p in target.parameters())


def test_steps_of_the_last_decays_do_not_vanish():
    online, target = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(online.weight, 2.0)
    nn.init.constant_(target.weight, 1.0)
    for _ in range(1000):
        ema_update_(online, target, 0.9999)
    assert target.weight.item() == pytest.approx(2 - 0.9999**1000, abs=1e-4)


def test_a_parameter_on_one_side_alone_is_named():
    online = Network()
    with pytest.raises(ValueError, match=r"the target has no parameter 'last\.bias'"):
        ema_update_(online, without_last_bias(), 0.9)
    with pytest.raises(ValueError, match=r"the online network has no parameter 'last\.bias'"):
        ema_update_(without_last_bias(), frozen_copy(online), 0.9)


def without_last_bias() -> nn.Module:
    network = Network()
    network.last.bias = None
    return network


def test_a_parameter_of_another_shape_is_named_and_nothing_is_updated():
    online, target = Network(5), frozen_copy(Network(1))
    before = target.last.bias.clone()
    with pytest.raises(ValueError, match=r"'first\.weight' is \(5, 4\) online and \(1, 4\) in the target"):
        ema_update_(online, target, 0.9)
    assert torch.equal(target.last.bias, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_target_in_half_precision_is_refused(dtype):
    online = Network().to(dtype)
    with pytest.raises(ValueError, match=rf"'first\.weight' of the target is {dtype}, too coarse"):
        ema_update_(online, frozen_copy(online), 0.996)


def test_decay_is_a_line_from_start_to_end_and_stays_there():
    seen = [ema_decay(step, 100, 0.996, 1.0) for step in range(121)]
    assert seen[0] == 0.996
    assert seen[1] == pytest.approx(0.99604)
    assert seen[50] == pytest.approx(0.998)
    assert seen[:101] == sorted(seen[:101])
    assert seen[100:] == [1.0] * 21


def test_decay_along_a_cosine_is_that_of_byol():
    seen = [ema_decay(step, 100, 0.99, 1.0, "cosine") for step in range(121)]
    assert seen[:101] == pytest.approx([1 - 0.01 * (math.cos(math.pi * k / 100) + 1) / 2 for k in range(101)])
    assert seen[:101] == sorted(seen[:101])
    assert seen[100:] == [1.0] * 21


def test_decay_that_does_not_move_stays_exact():
    assert {ema_decay(step, 7, 0.99925, 0.99925) for step in range(20)} == {0.99925}


def test_a_pair_is_checked_once_and_again_when_parameters_are_replaced() -> None:
    online = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    target = frozen_copy(online)
    pair, other = EMAPair(online, target), frozen_copy(target)
    for value in (1.0, 3.0):
        with torch.no_grad():
            for parameter in online.parameters():
                parameter.fill_(value)
        pair.update_(0.5)
        ema_update_(online, other, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), other.parameters(), strict=True))
    online[0].weight = nn.Parameter(torch.full((2, 3), 7.0))
    target[1].bias = nn.Parameter(torch.zeros(2), requires_grad=False)
    other = frozen_copy(target)
    ema_update_(online, other, 0.5)
    pair.update_(0.5)
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), other.parameters(), strict=True))
    online[0].weight = nn.Parameter(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"parameter '0\.weight' is \(2, 4\) online and \(2, 3\) in the target"):
        pair.update_(0.5)


def test_an_update_of_a_pair_does_not_check_it(monkeypatch: pytest.MonkeyPatch) -> None:
    online = nn.Linear(3, 2)
    pair = EMAPair(online, frozen_copy(online))
    monkeypatch.setattr(average, "check_pair", None)
    pair.update_(0.5)
