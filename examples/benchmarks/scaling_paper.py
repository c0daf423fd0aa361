"""The paper model of ``scaling.py --paper``: its options, the rate of a loader, its assumptions and its table.

python examples/benchmarks/scaling.py --paper
"""

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from scaling_cluster import Cluster, Job
from scaling_ijepa import PAPER, Architecture
from scaling_table import aligned
from streaming import make

from jepa_lightning.data import ImageFolderDataModule, masked_image_pipeline
from jepa_lightning.masking import MultiBlockMask

GPUS, GLOBAL_BATCH, GB = (8, 64, 512), 2048, 1e9
ASSUMPTIONS = """\
A paper model: computed, not measured. It assumes
- {memory:.0f} of 80 GB usable on an H100. bf16-mixed, so weights, gradients, Adam's moments and the EMA target are
  fp32, and FSDP2 gathers and sums fp32; DDP's buckets are copies of the gradients. Activations by formula, attention
  keeping no scores; blocks are recomputed where the step does not fit otherwise. "all" adds up everything as if it
  were there at once; short-lived tensors and the allocator's gaps are in the other {spare:.0f} GB.
- {flops:.0f} TFLOP/s bf16 at {mfu:.0%}, whatever the batch: optimistic for few images a GPU. Masks at the paper's
  scales, context lengths as drawn for a GPU's batch. Optimizer and EMA take their bytes at {hbm:.2f} TB/s.
- NVLink {nvlink:.0f} GB/s a direction and GPU, a network card of {nic:.0f} GB/s for each GPU, {efficiency:.0%} of both
  reached, no congestion. A ring crosses a node's border once, spread over its {node} cards ("by card": over each).
- a hop takes {near:.0f} us within and {far:.0f} us between nodes, which are guesses: W - 1 hops to gather from W ranks
  or to sum and scatter, a tree's there and back for DDP's sums. They decide how fsdp2 does on 512 GPUs: see "no hops".
- communication is hidden behind the pass that it belongs to, but for the last bucket (ddp), the first two units of
  each pass of each network and the last sum of each backward pass (fsdp2). Ranks never wait for each other's data.
- a core loads {rate:.0f} images/s ({source});
  a node has {cores} cores, all of them for loading.
efficiency: computing without recomputation over the whole step. no hops: the same if hops took no time. cores: what
loading needs on a node. limit: what a step waits for most: the GPU, the links or the loader, whose
waits are not in it.
"""


def add_paper_options(parser: argparse.ArgumentParser) -> None:
    """The options of the paper model."""
    group = parser.add_argument_group("paper model")
    group.add_argument("--paper", action="store_true", help="compute what large models need, and measure no run")
    group.add_argument("--gpu-batch", type=int, default=128, help="images a GPU, in the part of weak scaling")
    group.add_argument("--mfu", type=float, default=Cluster.mfu, help="share of the GPU's peak that is reached")
    group.add_argument(
        "--loader-rate", type=float, help="images per second that a core loads; measured where not given"
    )


def loader_rate(model: Architecture, number: int = 192, batch_size: int = 32) -> tuple[float, str]:
    """Images per second that one core of this machine reads, decodes and crops from JPEG files made here, and which."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, number, (500, 375))
        length = sum(path.stat().st_size for path in folder.rglob("*.jpg")) / number
        pipeline = masked_image_pipeline((model.image_size,) * 2, MultiBlockMask(model.grid))
        data = ImageFolderDataModule(folder, batch_size=batch_size, num_workers=0, pipeline=pipeline)
        data.setup()
        for _ in range(2):  # once to warm up
            begin = time.perf_counter()
            loaded = sum(len(batch.views[0]) for batch in data.train_dataloader())
            seconds = time.perf_counter() - begin
    torch.set_num_threads(threads)
    return loaded / seconds, f"measured here just now on JPEG files of 500 x 375 pixels and {length / 1e3:.0f} KB"


def fitting(job: Job, cluster: Cluster) -> Job:
    """The job, with its blocks recomputed if it does not fit otherwise."""
    return job if sum(job.memory().values()) <= cluster.memory else replace(job, recompute=True)


def step_seconds(job: Job, cluster: Cluster) -> float:
    """What a step takes."""
    seconds = job.seconds(cluster)
    return seconds["compute"] + seconds["exposed"] + seconds["update"]


def row(job: Job, cluster: Cluster, rate: float) -> list[str]:
    """A line of the table."""
    plain, less = (sum(replace(job, recompute=again).memory().values()) for again in (False, True))
    useful = job.seconds(cluster)["compute"]
    job = fitting(job, cluster)
    seconds = job.seconds(cluster)
    step = step_seconds(job, cluster)
    no_hops = step_seconds(job, replace(cluster, nvlink_hop=0.0, nic_hop=0.0))
    images = cluster.node * job.batch_size / step
    between = job.sent() / cluster.node if job.ranks > cluster.node else 0.0
    limit = "links" if seconds["exposed"] > seconds["compute"] else "GPU"
    return [
        job.model.name,
        str(job.ranks),
        job.strategy,
        str(job.batch_size),
        f"{sum(job.state().values()) / GB:.2f}",
        f"{plain / GB:.1f}",
        f"{less / GB:.1f}",
        "too large" if less > cluster.memory else "yes" if job.recompute else "no",
        f"{job.sent() / GB:.1f}",
        f"{between / GB:.2f}",
        *(f"{1e3 * seconds[name]:.0f}" for name in ("compute", "communication", "exposed", "update")),
        f"{1e3 * step:.0f}",
        *(f"{100 * useful / whole:.0f}" for whole in (step, no_hops)),
        f"{images:,.0f}",
        f"{images / rate:,.1f}",
        "loader" if images / rate > cluster.cores else limit,
    ]


HEADER = [
    "model", "GPUs", "strategy", "images/GPU", "state GB", "all GB", "recomputed GB", "recomputed", "sent GB",
    "by card GB", "compute ms", "links ms", "not hidden ms", "update ms", "step ms", "efficiency %", "no hops %",
    "images/s a node",
    "cores", "limit",
]  # fmt: skip


def jobs(batch: int | None) -> list[Job]:
    """All models, strategies and sizes, with ``batch`` images a GPU or with the paper's batch over all GPUs."""
    return [
        Job(model, strategy, ranks, batch or GLOBAL_BATCH // ranks)
        for model in PAPER
        for ranks in GPUS
        for strategy in ("ddp", "fsdp2")
    ]


def print_paper(options: argparse.Namespace) -> None:
    """Assumptions, and a table each for weak and strong scaling."""
    cluster = Cluster(mfu=options.mfu)
    rate, source = (options.loader_rate, "given") if options.loader_rate else loader_rate(PAPER[0])
    text = ASSUMPTIONS.format(
        memory=cluster.memory / GB, spare=80 - cluster.memory / GB, flops=cluster.flops / 1e12, mfu=cluster.mfu,
        hbm=cluster.hbm / 1e12, nvlink=cluster.nvlink / GB, nic=cluster.nic / GB, efficiency=cluster.link_efficiency,
        node=cluster.node, near=1e6 * cluster.nvlink_hop, far=1e6 * cluster.nic_hop, rate=rate,
        source=source, cores=cluster.cores,
    )  # fmt: skip
    print(text)
    for title, batch in (
        (f"the same batch on each GPU, {options.gpu_batch}", options.gpu_batch),
        (f"the paper's batch of {GLOBAL_BATCH} over all GPUs", None),
    ):
        print(f"{title}:\n")
        print(aligned([HEADER, *(row(job, cluster, rate) for job in jobs(batch))]), end="\n\n")
        fitted = [fitting(job, cluster) for job in jobs(batch)]
        images = max(cluster.node * job.batch_size / step_seconds(job, cluster) for job in fitted)
        print(
            f"The loader becomes the limit with fewer than {math.ceil(images / rate)} cores a node, or with cores that "
            f"load fewer than {images / cluster.cores:.0f} images/s.\n"
        )
