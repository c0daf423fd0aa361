"""Ten steps of each method under each strategy, on two processes over gloo, are those of one process."""

import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.core.mixins import HyperparametersMixin
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import enable_wrap
from torch.distributed.tensor import DTensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from jepa_lightning import (
    BYOL,
    DINO,
    IJEPA,
    MAE,
    VJEPA,
    BarlowTwins,
    FSDP2Strategy,
    JEPAModule,
    LeJEPA,
    MoCo,
    SimCLR,
    SimSiam,
    VICReg,
    WorldModel,
)
from jepa_lightning.distributed import gather_samples, rank
from jepa_lightning.nn import VisionTransformer, take_tokens
from jepa_lightning.nn.init import init_weights
from jepa_lightning.types import Batch, Masks

RANKS, IMAGES, STEPS, EPOCH = 2, 16, 10, 5
ENCODER = {"encoder": "vit_tiny", "width": 24, "depth": 2, "heads": 3, "image_size": 16, "patch_size": 4}
JEPA = {"predictor_depth": 2, "predictor_dim": 24, "min_keep": 2}
CLIPS = {"num_frames": 4, "num_blocks": (2, 1), "spatial_scale": (0.15, 0.4), "causal_frames": (1, 1)}
WORLD = {"num_frames": 4, "in_channels": 3}
TRANSFORMER = {"predictor_depth": 2, "predictor_heads": 2, "predictor_head_width": 8, "predictor_hidden": 24}
LARS = {"optimizer": "lars", "lr": 0.1}
# Adam makes whole steps of the rounding errors in gradients that are 0, such as those of a bias before a norm
SGD = {"optimizer": "sgd", "lr": 0.001}
# encoders that are not of this package
OTHER = {"width": None, "depth": None, "heads": None, **SGD}

TEACHER = {
    "class_path": "jepa_lightning.modules.frozen_encoder.FrozenEncoder",
    "init_args": {"method": "jepa_lightning.modules.vjepa.VJEPA", "options": {**ENCODER, **JEPA, **CLIPS, "width": 48}},
}


class PatchNetwork(nn.Module, HyperparametersMixin):
    """An encoder of a user: a linear layer on patches, with positions, and a residual block."""

    def __init__(self, width: int = 24, image_size: int = 16, patch: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.width, self.grid_size = width, (image_size // patch,) * 2
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.positions = nn.Embedding(math.prod(self.grid_size), width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(2)
        )

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.positions(torch.arange(tokens.shape[1], device=x.device))
        tokens = tokens if keep is None else take_tokens(tokens, keep)
        for block in self.blocks:
            tokens = tokens + block(tokens)
        return tokens


# of its class and options, and of the Trainer
METHODS: dict[str, tuple[type[JEPAModule], dict[str, Any], dict[str, Any]]] = {
    "IJEPA": (IJEPA, JEPA, {}),
    "IJEPA, compiled": (IJEPA, {**JEPA, "gradient_checkpointing": True, "compile": True}, {}),
    "IJEPA, shared": (IJEPA, {**JEPA, "predictor_attention": "shared", "gradient_checkpointing": True}, {}),
    "IJEPA, small": (
        IJEPA,
        {**JEPA, "num_crops": 2, "regularizer": "variance_covariance", "invariance": 1.0, "projector_dim": 24,
         "content": 1.0, "target_layers": 2, "registers": 2, "patch_embedding": "convolutional", **SGD},
        {},
    ),
    "IJEPA, timm": (
        IJEPA,
        {**JEPA, **OTHER, "encoder": "timm:test_vit", "image_size": 64, "patch_size": 16, "predictor_heads": 3},
        {},
    ),
    "IJEPA, own encoder": (
        IJEPA,
        {**JEPA, **OTHER, "encoder": {"class_path": f"{__name__}.PatchNetwork"}, "predictor_heads": 3},
        {},
    ),
    "VJEPA": (VJEPA, {**JEPA, **CLIPS, "rope": True}, {"gradient_clip_val": 0.02}),
    "VJEPA, 2.1": (
        VJEPA,
        {**JEPA, **CLIPS, "rope": True, "rope_grid": 16, "levels": (0, 1), "context_loss": 0.5, "images": True,
         "image_blocks": 2, **SGD},
        {},
    ),
    "VJEPA, student": (VJEPA, {**JEPA, **CLIPS, "teacher": TEACHER, "context_loss": 0.5, **SGD}, {}),
    "BYOL": (BYOL, {"projector_hidden": 32, "projector_dim": 16, **LARS}, {}),
    "SimCLR": (SimCLR, {"projector_hidden": 32, "projector_dim": 16, **LARS}, {}),
    "MoCo v2": (MoCo, {"queue_size": 24, "projector_dim": 16, **SGD}, {}),
    "MoCo v3": (MoCo, {"version": "v3", "projector_hidden": 32, "projector_dim": 16, **SGD}, {}),
    "SimSiam": (SimSiam, {"projector_dim": 32, "predictor_hidden": 16, **SGD}, {}),
    "DINO": (
        DINO,
        {"num_local": 1, "num_prototypes": 16, "head_hidden": 32, "bottleneck_dim": 8, "drop_path": 0.0, "lr": 1e-3},
        {"gradient_clip_val": 3.0},
    ),
    "MAE": (
        MAE,
        # the bias of keys has no gradient but rounding errors, of which Adam makes whole steps; they are larger with
        # Xavier's weights
        {"decoder_depth": 1, "decoder_dim": 24, "decoder_heads": 3, "lr": 1e-3, "init": "normal"},
        {"accumulate_grad_batches": 2},
    ),
    "VICReg": (VICReg, {"projector_dim": 32, **LARS}, {}),
    # after ten steps of 2e-4 in float32, gradients are off those in float64 by 1.4e-5
    "BarlowTwins": (BarlowTwins, {"projector_dim": 32, "loss_scale": 1.0, **SGD, "lr": 2e-5}, {}),
    "WorldModel": (
        WorldModel,
        {"encoder": "impala", "width": 24, "depth": None, "heads": None, "patch_size": 16, "rollout_steps": 2, **WORLD,
         **SGD},
        {},
    ),
    "WorldModel, causal": (
        WorldModel,
        {"predictor": "adaln", "prediction": "teacher_forcing", "projector": 24, "sigreg": 0.1, "num_directions": 16,
         "similarity": 1.0, "variance": 0.0, "covariance": 0.0, "inverse": 0.0, **TRANSFORMER, **WORLD, **SGD},
        {},
    ),
    "WorldModel, frozen": (
        WorldModel,
        {"predictor": "tokens", "prediction": "teacher_forcing", "freeze_encoder": True, "predictor_dim": 24,
         **TRANSFORMER, **WORLD},
        {"gradient_clip_val": 0.5},
    ),
    "WorldModel, joined": (
        WorldModel,
        {"freeze_encoder": True, "state_width": 24, "predictor": "mlp", "predictor_depth": 1, "predictor_hidden": 32,
         "rollout_steps": 2, **WORLD, **SGD},
        {},
    ),
    "LeJEPA": (LeJEPA, {"num_local": 1, "num_directions": 16, "projector_hidden": 32, "projector_dim": 16, **SGD}, {}),
}  # fmt: skip
FROZEN = {
    "WorldModel, frozen": "encoder",
    "WorldModel, joined": "encoder",
    "VJEPA, student": "teacher",
}  # networks that stay as they start
# FSDP1 hides the norms of whole weights, and refuses compiled blocks
FLAT = [
    name
    for name, (_, options, trainer) in METHODS.items()
    if options.get("optimizer") != "lars" and "gradient_clip_val" not in trainer and not options.get("compile")
]


class CPUFSDP(FSDPStrategy):
    """FSDP1, which Lightning leaves to GPUs."""

    @contextmanager
    def model_sharded_context(self) -> Iterator[None]:
        def wrapper(module: nn.Module, sync_module_states: bool = False, **options: Any) -> nn.Module:
            return FullyShardedDataParallel(module, **options)  # cannot send weights of the CPU

        with enable_wrap(wrapper_cls=wrapper, device_id=torch.device("cpu"), use_orig_params=True):
            yield


STRATEGIES = {
    "ddp": (lambda: DDPStrategy(find_unused_parameters=False), list(METHODS)),
    "fsdp2": (FSDP2Strategy, list(METHODS)),
    "fsdp2 in two copies": (lambda: FSDP2Strategy(replicas=2), ["IJEPA", "VJEPA", "SimCLR"]),
    "fsdp1": (CPUFSDP, FLAT),
}


class JointNorm(nn.BatchNorm1d):
    """Statistics of all ranks, as SyncBatchNorm has them, which does not run on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        joint = super().forward(gather_samples(x))
        return joint[rank() * len(x) : (rank() + 1) * len(x)]


class Recorder(Callback):
    """Notes losses and gradients."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.gradients: list[dict[str, Tensor]] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        with whole(pl_module, with_grads=True):
            self.gradients.append(
                {clean(name): full(p.grad) for name, p in pl_module.named_parameters() if p.grad is not None}
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean"))


def clean(name: str) -> str:
    return name.replace("_fsdp_wrapped_module.", "")


def full(value: Tensor) -> Tensor:
    return (value.full_tensor() if isinstance(value, DTensor) else value).detach().clone()


@contextmanager
def whole(module: nn.Module, with_grads: bool = False) -> Iterator[None]:
    """FSDP1's weights as they were before it flattened them."""
    if not any(isinstance(child, FullyShardedDataParallel) for child in module.children()):
        yield
        return
    with FullyShardedDataParallel.summon_full_params(module, writeback=False, with_grads=with_grads):
        yield


def build(name: str, seed: int = 0) -> JEPAModule:
    torch.manual_seed(seed)
    cls, options, _ = METHODS[name]
    ema = {"ema": (0.9, 1.0)} if cls in (IJEPA, VJEPA, BYOL, MoCo, DINO) else {}
    module = cls(**{"lr": 1e-2, "start_lr": 1e-4, "warmup": 2, **ema, **ENCODER, **options})
    # where positions hide the content, batch norms of heads blow up rounding errors: both start at one scale
    for network in (each for each in module.modules() if isinstance(each, VisionTransformer)):
        init_weights(network, network.blocks, scale_patches=True, scale_depth=True)
    for online, target in module.ema_pairs():
        target.load_state_dict(online.state_dict())
    for parent in list(module.modules()):
        for key, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d):
                joint = JointNorm(child.num_features, affine=child.affine)
                joint.load_state_dict(child.state_dict())
                joint.requires_grad_(child.weight is not None and child.weight.requires_grad).train(child.training)
                setattr(parent, key, joint)
    return module


def batches(module: JEPAModule, part: slice) -> list[Batch]:
    """A part of each joint batch."""
    pipeline, found = module.pipeline(), []
    shape = (IMAGES, 4, 3, 24, 24) if module.media_axes == 4 else (IMAGES, 3, 24, 24)
    for step in range(EPOCH):
        torch.manual_seed(step)
        coarse = torch.rand(*shape[:-2], 4, 4).flatten(0, -4)
        images = (F.interpolate(coarse, size=24).reshape(shape) * 255).to(torch.uint8)
        joint = pipeline.collate([pipeline.transform(image) for image in images])
        masks = tuple(Masks(mask.context[part], mask.target[part]) for mask in joint.masks)
        extras = {"actions": torch.randn(IMAGES, 3, 2)[part]} if isinstance(module, WorldModel) else {}
        found.append(Batch([view[part] for view in joint.views], masks, extras=extras))
    return found


def train(name: str, strategy: Strategy | str, devices: int) -> dict[str, Any]:
    number = int(os.environ.get("RANK", "0"))
    # ranks that start apart must take the weights and buffers of the first; FSDP1 cannot send them from a CPU
    module, recorder = build(name, seed=0 if isinstance(strategy, CPUFSDP) else number), Recorder()
    each = IMAGES // devices
    data = DataLoader(batches(module, slice(number * each, (number + 1) * each)), batch_size=None)
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, max_steps=STEPS, callbacks=[recorder], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, **METHODS[name][2],
    )  # fmt: skip
    trainer.fit(module, data)
    with whole(module):
        weights = {clean(key): full(value) for key, value in module.named_parameters()}
    buffers = {clean(key): value.clone() for key, value in module.named_buffers()}
    return {"loss": recorder.losses, "gradients": recorder.gradients, "weights": weights, "buffers": buffers}


def work(folder: Path, strategy: str) -> None:
    """What each process does."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    build_strategy, names = STRATEGIES[strategy]
    found = {name: train(name, build_strategy(), RANKS) for name in names}
    torch.save(found, folder / f"{strategy}_{os.environ['RANK']}.pt")


@pytest.fixture(scope="module", params=STRATEGIES)
def ranks(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ranks")
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
    process = subprocess.Popen([*run, __file__, str(folder), request.param], env=environment)
    try:
        assert process.wait(timeout=600) == 0
    finally:
        process.terminate()  # it ends its workers, which a kill would leave alone
        process.wait(timeout=60)
    return request.param, [torch.load(folder / f"{request.param}_{number}.pt") for number in range(RANKS)]


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Any]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: train(name, "auto", 1) for name in METHODS}
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_ten_steps_are_those_of_one_process(
    ranks: tuple[str, list[dict[str, Any]]], alone: dict[str, dict[str, Any]], name: str
) -> None:
    strategy, found = ranks
    if name not in STRATEGIES[strategy][1]:
        pytest.skip("FSDP1 has no norms of whole weights and no compiled blocks; some methods are enough for copies")
    expected, close = alone[name], {"rtol": 1e-5, "atol": 1e-5}
    assert len(expected["gradients"]) == STEPS
    for each in (process[name] for process in found):
        torch.testing.assert_close(torch.stack(each["loss"]), torch.stack(expected["loss"]), **close)
        for step, gradients in enumerate(expected["gradients"]):
            assert each["gradients"][step].keys() == gradients.keys()
            scale = max(1.0, *(gradient.abs().max().item() for gradient in gradients.values()))
            for key, gradient in gradients.items():
                torch.testing.assert_close(each["gradients"][step][key] / scale, gradient / scale, **close)
        for kind in ("weights", "buffers"):
            assert each[kind].keys() == expected[kind].keys()
            for key, value in expected[kind].items():
                torch.testing.assert_close(each[kind][key], value, **close)
    start = {key: value for key, value in build(name).named_parameters() if not key.startswith(FROZEN.get(name, "-"))}
    moved = [key for key, value in start.items() if not torch.equal(value, expected["weights"][key])]
    assert all(any(key.startswith(network) for key in moved) for network, _ in build(name).named_children()
               if any(key.startswith(network) for key in start))  # fmt: skip


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2])
