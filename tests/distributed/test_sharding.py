"""Sharding in a group of one process: what is sharded, and what is refused."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import enable_wrap
from torch.distributed.tensor import DTensor

from jepa_lightning import IJEPA, FSDP2Strategy
from jepa_lightning.distributed import data_parallel_mesh, shard_, sharding_units, wrap_
from jepa_lightning.ema import check_pair, ema_update_
from jepa_lightning.nn import TimmBackbone, VisionTransformer, mlp_head
from jepa_lightning.optim import create_optimizer, parameter_groups
from jepa_lightning.types import Batch


@pytest.fixture
def mesh(tmp_path: Path) -> DeviceMesh:
    dist.init_process_group("gloo", f"file://{tmp_path}/meeting", world_size=1, rank=0)
    return init_device_mesh("cpu", (1,), mesh_dim_names=("data_parallel",))


def test_every_network_and_its_blocks_are_sharded_and_the_target_as_the_online_network(
    mesh: DeviceMesh, tiny_ijepa: Callable[..., IJEPA]
) -> None:
    module = tiny_ijepa()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    shard_(module, mesh)
    sharded = {name for name, child in module.named_modules() if isinstance(child, FSDPModule)}
    assert sharded == {
        "context_encoder", "context_encoder.blocks.0", "context_encoder.blocks.1",
        "target_encoder", "target_encoder.blocks.0", "target_encoder.blocks.1",
        "predictor", "predictor.predictor_blocks.0",
    }  # fmt: skip
    assert all(isinstance(value, DTensor) for value in module.parameters())
    state = module.state_dict()
    assert state.keys() == before.keys()
    for name, value in before.items():
        found = state[name]
        assert torch.equal(found.full_tensor() if isinstance(found, DTensor) else found, value)
    shard_(module, mesh)  # again, as for a validation after the training
    for online, target in module.ema_pairs():
        check_pair(online, target)


def test_a_sharded_step_gives_no_warning_of_views_and_leaves_the_filters_of_the_process_alone(
    mesh: DeviceMesh, tiny_ijepa: Callable[..., IJEPA], make_batch: Callable[..., Batch]
) -> None:
    module = tiny_ijepa()
    batch, expected = make_batch(module), tiny_ijepa().objective
    before = list(warnings.filters)
    shard_(module, mesh)
    assert list(warnings.filters) == before
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*returned a view")
        loss = module.objective(batch, 0.0).loss
        loss.backward()
    torch.testing.assert_close(loss, expected(batch, 0.0).loss)


@pytest.mark.parametrize(
    ("network", "units"),
    [
        (lambda: VisionTransformer((16, 16), 8, 24, 3, 3), 3),
        (lambda: TimmBackbone("resnet18", (32, 32)), 8),
        (lambda: mlp_head([4, 8, 4]), 0),
    ],
    ids=["transformer", "resnet", "head"],
)
def test_units_are_the_blocks(network: Callable[[], nn.Module], units: int) -> None:
    built = network()
    found = list(sharding_units(built))
    assert len(found) == len({id(unit) for unit in found}) == units
    assert not any(isinstance(inner, tuple(map(type, found))) for unit in found for inner in list(unit.children()))


def test_a_target_that_lies_on_the_ranks_in_another_way_is_refused_by_name(
    mesh: DeviceMesh, tiny_ijepa: Callable[..., IJEPA]
) -> None:
    module = tiny_ijepa()
    fully_shard(module.target_encoder.blocks[1], mesh=mesh)  # and its online network not
    message = r"'blocks\.1\.norm1\.weight' is whole online and .*Shard\(dim=0\).* in the target: shard both"
    for refused in (check_pair, lambda online, target: ema_update_(online, target, 0.9)):
        with pytest.raises(ValueError, match=message):
            refused(module.context_encoder, module.target_encoder)


class WithParameter(IJEPA):
    """Holds a parameter that no network is called for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.temperature = nn.Parameter(torch.ones(()))


def test_a_parameter_outside_of_networks_is_refused_where_it_would_not_be_sharded(
    mesh: DeviceMesh, tiny_ijepa: Callable[..., IJEPA]
) -> None:
    module = tiny_ijepa(WithParameter)
    wrap_(module)  # another strategy: nothing happens
    with pytest.raises(ValueError, match=r"WithParameter\.temperature is a parameter outside of a network"):
        shard_(module, mesh)


def test_blocks_that_are_compiled_are_refused_under_fsdp1(mesh: DeviceMesh, tiny_ijepa: Callable[..., IJEPA]) -> None:
    def without_states(module: nn.Module, sync_module_states: bool = False, **options: Any) -> nn.Module:
        return FullyShardedDataParallel(module, **options)  # cannot send weights of the CPU

    def configure(**options: Any) -> None:
        with enable_wrap(wrapper_cls=without_states, device_id=torch.device("cpu"), use_orig_params=True):
            tiny_ijepa(**options).configure_model()

    configure()
    with pytest.raises(MisconfigurationException, match="does not compile the blocks of FSDP1"):
        configure(compile=True)


class Mesh:
    """As ModelParallelStrategy makes it by default on two devices."""

    mesh_dim_names = ("data_parallel", "tensor_parallel")

    def __init__(self, tensor_parallel: int) -> None:
        self.sizes = {"data_parallel": 1, "tensor_parallel": tensor_parallel}

    def __getitem__(self, name: str) -> "Mesh":
        self.asked = name
        return self

    def size(self) -> int:
        return self.sizes[self.asked]


def test_replicas_must_be_some() -> None:
    with pytest.raises(ValueError, match="replicas=0: there is at least one"):
        FSDP2Strategy(replicas=0)


def test_devices_that_cannot_be_shared_out_are_refused(
    tiny_ijepa: Callable[..., IJEPA], shapes: Any, quiet_trainer: Any
) -> None:
    trainer = quiet_trainer(strategy=FSDP2Strategy(replicas=2), max_steps=1)
    with pytest.raises(ValueError, match="1 devices cannot be shared out to 2 replicas"):
        trainer.fit(tiny_ijepa(), datamodule=shapes())


def test_a_strategy_that_splits_layers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has tensor_parallel_size 2.*use strategy fsdp2"):
        data_parallel_mesh(Mesh(2))  # type: ignore[arg-type]
    assert data_parallel_mesh(Mesh(1)).asked == "data_parallel"  # type: ignore[arg-type,attr-defined]


@pytest.mark.parametrize(
    "strategy", ["fsdp2", FSDP2Strategy(), ModelParallelStrategy(data_parallel_size=1, tensor_parallel_size=1)]
)
def test_a_run_on_one_device(
    strategy: Any, tiny_ijepa: Callable[..., IJEPA], shapes: Any, quiet_trainer: Any, tmp_path: Path
) -> None:
    weights = []
    for chosen in (strategy, "auto"):
        # with small patch embeddings gradients of dark pixels are rounding errors, which Adam makes whole steps of
        module = tiny_ijepa(legacy_init=False)
        trainer = quiet_trainer(strategy=chosen, max_steps=2)
        trainer.fit(module, datamodule=shapes())
        trainer.validate(module, datamodule=shapes(), verbose=False)
        weights.append({name: value.detach() for name, value in module.named_parameters()})
        if chosen == strategy:
            assert all(isinstance(value, DTensor) for value in weights[0].values())
            weights[0] = {name: value.full_tensor() for name, value in weights[0].items()}
            dist.destroy_process_group()
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[0][name], value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["muon", "adamuon"])
def test_optimizers_that_cannot_take_shards_are_refused(
    optimizer: str, mesh: DeviceMesh, tiny_ijepa: Callable[..., IJEPA]
) -> None:
    module = tiny_ijepa()
    create_optimizer(parameter_groups({"all": module}, 0.1), optimizer, 1e-3)
    shard_(module, mesh)
    with pytest.raises(ValueError, match=f"optimizer '{optimizer}' needs whole weights.*strategy ddp"):
        create_optimizer(parameter_groups({"all": module}, 0.1), optimizer, 1e-3)
