"""Two processes that talk over gloo, with batch norms of their own."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, multiprocessing, nn
from torch import distributed as dist

from jepa_lightning.distributed import share_statistics_


def network() -> nn.Module:
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Unflatten(1, (1, 2, 2)), nn.BatchNorm2d(1))
    return nn.ModuleDict({
        "online": online, "target": copy.deepcopy(online).eval(),
        "without": nn.BatchNorm1d(3, track_running_stats=False),
    })  # fmt: skip


def train(module: Any, number: int) -> Tensor:
    torch.manual_seed(number)
    output: Tensor = module["online"](number + torch.randn(8, 3))
    for target, online in zip(module["target"].buffers(), module["online"].buffers(), strict=True):
        target.copy_(online)
    return output.square().sum()


def work(number: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", world_size=2, rank=number)
    module = network()
    loss = train(module, number)
    before = copy.deepcopy(module.state_dict())
    share_statistics_(module)
    loss.backward()  # still possible
    share_statistics_(nn.Linear(2, 2))  # nothing to share
    torch.save([before, module.state_dict()], folder / f"{number}.pt")
    dist.destroy_process_group()


def test_every_rank_has_the_statistics_of_the_first_and_nothing_else_changes(
    tmp_path: Path, same_bits: Callable[[Any, Any], bool]
) -> None:
    multiprocessing.spawn(work, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(2))
    for name in ("online.1.running_mean", "online.3.running_var", "target.1.running_var"):
        assert not torch.equal(first[0][name], second[0][name])
    assert same_bits(first[0], first[1])
    assert same_bits(first[1], second[1])


def test_one_process_keeps_its_own(same_bits: Callable[[Any, Any], bool]) -> None:
    module = network()
    train(module, 1)
    before = copy.deepcopy(module.state_dict())
    share_statistics_(module)
    assert same_bits(before, module.state_dict())
