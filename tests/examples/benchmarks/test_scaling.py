# B batch, N tokens of the grid, M target blocks, Kc Kt kept tokens
import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from jepa_lightning import IJEPA
from jepa_lightning.distributed import sharding_units
from jepa_lightning.nn import Predictor, VisionTransformer, vit_size
from jepa_lightning.types import Batch

FOLDER = Path(__file__).parents[3] / "examples" / "benchmarks"
SIZES: dict[str, Any] = {"image_size": 64, "patch_size": 8, "predictor_depth": 3, "predictor_dim": 96, "depth": 2}


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A file of the benchmark, found as the others find it."""
    monkeypatch.syspath_prepend(FOLDER)
    return import_module


@pytest.fixture
def tiny(part: Callable[[str], ModuleType]) -> Any:
    return part("scaling_ijepa").Architecture("tiny", "vit_tiny", **SIZES)


def a_step(recompute: bool) -> tuple[IJEPA, Batch]:
    """The same I-JEPA in modules, and a batch."""
    torch.manual_seed(0)
    module = IJEPA("vit_tiny", gradient_checkpointing=recompute, **SIZES)
    return module, Batch([torch.randn(8, 3, 64, 64)], (module.masks(8),))


def kept(batch: Batch) -> tuple[int, int]:
    return batch.masks[0].context.shape[-1], batch.masks[0].target.shape[-1]


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("index", [0, 1])
def test_parameters_and_what_is_gathered_at_a_time_are_those_of_the_networks(part, index):
    model = part("scaling_ijepa").PAPER[index]
    size = vit_size(model.encoder)
    with torch.device("meta"):
        encoder = VisionTransformer(model.image_size, model.patch_size, *size)
        predictor = Predictor(
            encoder.grid_size, size.width, model.predictor_dim, model.predictor_depth, heads=size.heads
        )
    for network, counted in zip((encoder, predictor), model.networks, strict=True):
        blocks = [num_parameters(unit) for unit in sharding_units(network)]
        assert counted.parameters == num_parameters(network)
        assert counted.units == [num_parameters(network) - sum(blocks), *blocks]


@pytest.mark.parametrize("recompute", [False, True])
def test_flops_are_those_that_torch_counts(tiny, recompute):
    module, batch = a_step(recompute)
    aten = torch.ops.aten
    attention = {  # torch leaves out what the processor has
        aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *shapes, **_: sdpa_backward_flop_count(
            *shapes[:4]
        ),
    }
    with FlopCounterMode(display=False, custom_mapping=attention) as counter:
        loss = module.objective(batch, 0.0).loss
        forward = counter.get_total_flops()
        loss.backward()
    flops = tiny.flops(*kept(batch), recompute)
    passes = ("target", "context", "predictor")
    assert sum(flops[name] for name in passes) * 8 == pytest.approx(forward, rel=1e-3)
    assert sum(flops.values()) * 8 == pytest.approx(counter.get_total_flops(), rel=1e-3)


def test_activations_and_bf16_weights_are_what_autograd_keeps(tiny, monkeypatch):
    monkeypatch.setattr("jepa_lightning.nn.attention.MAX_EXPLICIT_KEYS", 0)  # the fused kernel, as on GPUs
    module, batch = a_step(recompute=False)
    activations, casts = kept_bytes(module, batch)
    assert 8 * tiny.activations(*kept(batch)) == pytest.approx(activations, rel=0.03)
    trained = num_parameters(module.context_encoder) + num_parameters(module.predictor)
    trained -= module.context_encoder.patch_embed.proj.weight.numel()  # not kept: images have no gradient
    assert 2 * trained == pytest.approx(casts, rel=0.03)


def test_with_recomputation_a_block_keeps_its_input_and_one_block_the_rest(tiny):
    module, batch = a_step(recompute=True)
    inputs_and_ends, _ = kept_bytes(module, batch)
    context, target = kept(batch)
    encoder, predictor = (replace(network, depth=1) for network in tiny.networks)
    one = encoder.activations(context) + 4 * predictor.activations(context + target)
    one -= encoder.width * 4 * context + predictor.width * 4 * 4 * (context + target)  # their inputs, counted already
    assert 8 * tiny.activations(context, target, recompute=True) == pytest.approx(inputs_and_ends + 8 * one, rel=0.03)


def kept_bytes(module: IJEPA, batch: Batch) -> tuple[int, int]:
    """Bytes that a forward pass keeps for the backward one under bf16 autocast: activations, and weights made bf16."""
    own = {x.untyped_storage().data_ptr() for x in (*module.parameters(), *module.buffers())}
    casts = [
        cast for p in module.parameters() for cast in (p.bfloat16(), p.T.bfloat16() if p.ndim == 2 else p.bfloat16())
    ]
    found: dict[bool, dict[int, int]] = {False: {}, True: {}}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(tensor)  # or its place would be used again
        if storage.data_ptr() not in own:
            weight = any(torch.equal(tensor, cast) for cast in casts if cast.shape == tensor.shape)
            found[weight][storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x), torch.autocast("cpu", torch.bfloat16):
        tokens = module.objective(batch, 0.0).tokens  # held for the callbacks
    assert tokens is not None
    found[False][tokens.untyped_storage().data_ptr()] = tokens.untyped_storage().nbytes()
    return sum(found[False].values()), sum(found[True].values())


def test_a_pass_waits_as_a_simulated_one_does(part):
    uncovered = part("scaling_cluster").uncovered
    for gather, block in ((1.0, 3.0), (3.0, 1.0), (2.0, 2.0)):
        gathers, linked, done = [0.5] + [gather] * 6, 0.0, 0.0
        for number, seconds in enumerate(gathers):
            linked += seconds
            done = max(done, linked) + (block if number else 0.0)
        assert uncovered(gathers, 6 * block) == pytest.approx(done - 6 * block)


def test_one_rank_sends_nothing_and_two_send_what_an_exchange_of_halves_does(part, tiny):
    job, cluster = part("scaling_cluster").Job, part("scaling_cluster").Cluster()
    for strategy in ("ddp", "fsdp2"):
        alone = job(tiny, strategy, 1, 8)
        assert alone.sent() == alone.seconds(cluster)["communication"] == alone.seconds(cluster)["exposed"] == 0
    assert job(tiny, "ddp", 2, 8).sent() == 4 * job(tiny, "ddp", 2, 8).trained
    bytes_apart = cluster.reduce_seconds(2e9, 8) - cluster.reduce_seconds(1e9, 8)
    assert bytes_apart == pytest.approx(2 * 7 / 8 * 4e9 / (0.8 * 450e9))


def test_parts_are_counted_without_what_is_inside_of_them(part, monkeypatch):
    measure = part("scaling_measure")
    clock = iter(range(100))
    monkeypatch.setattr(measure, "now", lambda: next(clock))
    parts = measure.Parts()
    with parts.profile("before"):
        parts.run(True)
        with parts.profile("[Strategy]DDPStrategy.backward"):
            with parts.profile("[LightningModule]IJEPA.on_before_backward"):
                pass
            with parts.profile("[Callback]EMACallback.on_after_backward"):
                pass
        with parts.profile("[Callback]OnlineLinearProbe.on_train_batch_end"):
            pass
        parts.run(False)
    assert dict(parts.seconds) == {"rest": 3, "backward": 4, "EMA": 1, "callbacks": 1}


def test_collectives_that_overlap_are_counted_once(part):
    def event(name: str, start: float, end: float, device: DeviceType) -> SimpleNamespace:
        return SimpleNamespace(name=name, time_range=SimpleNamespace(start=start, end=end), device_type=device)

    events = [
        event("gloo:all_reduce", 0, 4e6, DeviceType.CPU),
        event("gloo:all_gather", 1e6, 2e6, DeviceType.CPU),
        event("ncclDevKernel_AllGather", 3e6, 5e6, DeviceType.CUDA),
        event("nccl:all_gather", 7e6, 9e6, DeviceType.CPU),  # only where the host starts it
        event("aten::mm", 5e6, 9e6, DeviceType.CPU),
    ]
    assert part("scaling_measure").collective_seconds(events) == 5


def test_ratios_are_within_a_round(part):
    scaling = part("scaling")
    measured = dict.fromkeys((*part("scaling_measure").PARTS, "collectives"), 0.0)
    measured |= dict.fromkeys(("processor", "gathered", "summed", "state", "peak"), 1e6)
    runs = [("ddp", 1), ("ddp", 2)]
    rounds = [
        {runs[0]: measured | {"step": step}, runs[1]: measured | {"step": 1.25 * step}} for step in (1.0, 2.0, 30.0)
    ]
    _, first, second = scaling.rows(runs, rounds, batch_size=4)
    assert (first[2], first[3]) == ("2.0", "1.00")
    assert (second[2], second[3]) == ("3.2", "1.60")


def test_a_run_that_takes_too_long_ends_with_all_its_processes(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = "sleep 600 & echo $! > pid; wait"
    with pytest.raises(SystemExit, match="stopped after 3 s"):
        part("scaling").in_group(["sh", "-c", script], timeout=3, threads=1)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 120
    while runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"  # a zombie has ended
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_run_that_fails_says_why(part):
    with pytest.raises(SystemExit, match="no such thing"):
        part("scaling").in_group([sys.executable, "-c", "raise ValueError('no such thing')"], timeout=60, threads=1)


def test_paper_model_prints_its_assumptions_and_a_line_for_each_case(part, capsys):
    part("scaling").main(["--paper", "--loader-rate", "20", "--mfu", "0.3"])
    printed = capsys.readouterr().out
    assert "989 TFLOP/s bf16 at 30%" in printed
    assert "a core loads 20 images/s (given)" in printed
    lines = [line for line in printed.splitlines() if line.startswith("| ViT-")]
    assert len(lines) == 24
    assert {line.split("|")[-2].strip() for line in lines} == {"GPU", "links", "loader"}


def test_the_rate_of_a_loader_is_measured(part, tiny):
    rate, source = part("scaling_paper").loader_rate(tiny, number=24, batch_size=4)
    assert rate > 0
    assert "measured here just now on JPEG files" in source


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_measured_run_has_the_memory_and_sends_the_bytes_of_the_model(part, tiny, strategy):
    scaling, job = part("scaling"), part("scaling_cluster").Job(tiny, strategy, 2, 4)
    options = (
        part("scaling_worker")
        .options_parser()
        .parse_args(
            [
                "--batch-size=4",
                "--steps=2",
                "--accelerator=cpu",
                *(f"--{name.replace('_', '-')}={SIZES[name]}" for name in SIZES),
            ]
        )
    )
    found = scaling.measure((strategy, 2), argparse.Namespace(**vars(options), timeout=170, threads=1))
    state = job.state()
    # a rank may have a row more of what does not divide, such as the mask token
    assert found["state"] == pytest.approx(sum(state.values()) - state["buckets"], rel=0.01)
    times = 2 if strategy == "ddp" else 1
    # the probe sums its gradients too
    assert (found["gathered"] + times * found["summed"]) / 2 == pytest.approx(job.sent(), rel=0.02)
    assert sum(found[name] for name in part("scaling_measure").PARTS) == pytest.approx(1)
    assert 0 < found["collectives"] < 1
    assert min(found[name] for name in ("step", "processor", "data", "forward", "backward", "EMA", "callbacks")) > 0
