"""Two processes that talk over gloo find what one process finds on the joint batch."""

import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist

from jepa_lightning import DINO, BarlowTwins, LeJEPA, MoCo, SimCLR, VICReg
from jepa_lightning.distributed import gather_samples, rank, world_size
from jepa_lightning.losses import (
    Center,
    SIGReg,
    StateTerms,
    Uniformity,
    VarianceCovariance,
    barlow_twins_loss,
    covariance_loss,
    info_nce_loss,
    nt_xent_loss,
    sinkhorn_knopp,
    token_content,
    variance_loss,
)
from jepa_lightning.modules.classifier_head import ClassifierHead
from jepa_lightning.nn import KeyQueue
from jepa_lightning.types import Batch

RANKS, IMAGES = 2, 6
LOSSES = {
    "nt_xent": lambda a, b: nt_xent_loss(a, b, 0.3, gather=True),
    "info_nce": lambda a, b: info_nce_loss(a, b, 0.3, gather=True),
    "barlow_twins": lambda a, b: barlow_twins_loss(a, b, 0.1, gather=True),
    "variance_covariance": lambda a, b: VarianceCovariance(target_std=5, gather=True)(a, b),
    "variance": lambda a, b: variance_loss(a, 5.0, gather=True),
    "covariance": lambda a, b: covariance_loss(a, gather=True),
    "content": lambda a, b: content(a, gather=True),
    "sigreg": lambda a, b: SIGReg(num_directions=8, gather=True)(a, b),
    "uniformity": lambda a, b: Uniformity(gather=True)(a, b),
    "terms on states": lambda a, b: sum(terms_on_states(torch.stack([a, b, a * b], dim=1)).values()),
    "values of a classifier": lambda a, b: (b - standardized(a.detach())).square().mean(),
    "sigreg of each time step": lambda a, b: terms_on_states(torch.stack([a, b, a * b], dim=1))["sigreg"],
    # they see their own images alone, so that the mean over ranks must be another one
    "nt_xent alone": lambda a, b: nt_xent_loss(a, b, 0.3),
    "barlow_twins alone": lambda a, b: barlow_twins_loss(a, b, 0.1),
    "variance_covariance alone": lambda a, b: VarianceCovariance(target_std=5)(a),
    "uniformity alone": lambda a, b: Uniformity()(a),
    "sigreg alone": lambda a, b: SIGReg(num_directions=8)(a),
    "content alone": lambda a, b: content(a, gather=False),
}
# of which each rank may have another number of samples
STATISTICS = ("barlow_twins", "variance_covariance", "variance", "covariance", "sigreg")
# a step's collectives, forward and backward, however many views there are
COLLECTIVES = {"BarlowTwins": 2, "VICReg": 2, "LeJEPA": 1}

ENCODER = {"encoder": "vit_tiny", "width": 24, "depth": 1, "heads": 3, "image_size": 16, "patch_size": 8}
METHODS: dict[str, Any] = {
    "SimCLR": lambda: SimCLR(**ENCODER),
    "MoCo v2": lambda: MoCo(**ENCODER, queue_size=8),
    "MoCo v3": lambda: MoCo(**ENCODER, version="v3", projector_dim=24),
    "VICReg": lambda: VICReg(**ENCODER, projector_dim=24),
    "BarlowTwins": lambda: BarlowTwins(**ENCODER, projector_dim=24),
    "LeJEPA": lambda: LeJEPA(**ENCODER, num_local=1, num_directions=8),
    "DINO": lambda: DINO(**ENCODER, drop_path=0.0, num_local=1, num_prototypes=8, head_hidden=16, bottleneck_dim=8),
    "DINO, Sinkhorn": lambda: DINO(
        **ENCODER, drop_path=0.0, num_local=1, num_prototypes=8, head_hidden=16, bottleneck_dim=8, assignment="sinkhorn"
    ),
}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def content(samples: Tensor, gather: bool) -> Tensor:
    """Of images of three tokens each, at positions of which images share some."""
    tokens = torch.stack([samples, samples**2, samples**3], dim=1)
    positions = (samples[:, :3].detach() > 0).long() + torch.arange(3)
    return VarianceCovariance(target_std=5, gather=gather)(token_content(tokens, positions, 5, gather=gather))


def terms_on_states(states: Tensor) -> dict[str, Tensor]:
    """Of trajectories of three frames, under actions that follow from them."""
    torch.manual_seed(0)
    terms = StateTerms(16.0, 8.0, 12.0, 1.0, 0.09, num_directions=8, inverse_network=nn.Linear(8, 2))
    return terms(states, states[:, :2, :2].detach())


def standardized(values: Tensor) -> Tensor:
    """By what a classifier has seen of them in two steps."""
    head = ClassifierHead("linear", 4, {"value": 4}, 1)
    for factor in (2.0, 1.0):
        head.learn_scale("value", factor * values, torch.ones(len(values), dtype=torch.bool))
    return head.scale("value").standardize(values)


def of_rank(joint: Tensor, number: int) -> Tensor:
    return joint.chunk(RANKS)[number]


def weights_of(number: int) -> Tensor:
    """What a rank multiplies the gathered samples with: each rank its own numbers."""
    return numbers(IMAGES, 5, seed=10 + number)


def losses_of(part: slice, names: Iterable[str]) -> dict[str, Any]:
    """Losses of a part of the joint batch, and their gradients."""
    first = numbers(IMAGES, 5)
    second = first + 0.5 * numbers(IMAGES, 5, seed=1)
    found = {}
    for name in names:
        weight = numbers(5, 4, seed=2).requires_grad_()
        value = LOSSES[name](first[part] @ weight, second[part] @ weight)
        value.backward()
        found[name] = {"loss": value.item(), "gradient": weight.grad}
    return found


def collectives_of(build: Any, part: slice) -> int:
    """How often a step of a method sends something to the other ranks."""
    count = 0

    def counting(function: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            return function(*args, **kwargs)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for name in ("all_reduce", "all_gather", "reduce_scatter_tensor", "reduce_scatter_single", "scatter"):
            if hasattr(dist, name):
                patch.setattr(dist, name, counting(getattr(dist, name)))
        step_of(build, part)
    return count


def find(part: slice) -> dict[str, Any]:
    """What a process finds that has a part of the joint batch."""
    found = losses_of(part, LOSSES)
    found["assigned"] = sinkhorn_knopp(60 * numbers(IMAGES, 3, seed=3)[part], 0.5)
    centre = Center(5)
    for step in range(3):
        centre(numbers(IMAGES, 5, seed=4 + step)[part])
    found["centre"] = centre.value
    return found | {f"step of {name}": step_of(build, part) for name, build in METHODS.items()}


def step_of(build: Any, part: slice) -> dict[str, Any]:
    """Loss, gradient and buffers of a method's step on a part of the joint batch."""
    torch.manual_seed(0)
    module = build()
    if hasattr(module, "projector"):
        # batch statistics of one rank alone would make another result; on GPUs SyncBN makes them joint
        module.projector = nn.Linear(24, 24)
    if hasattr(module, "target_projector"):
        module.target_projector, module.predictor = nn.Linear(24, 24), nn.Identity()
        module.target_projector.requires_grad_(False)
        torch.nn.init.eye_(module.target_projector.weight)
    if isinstance(module, MoCo) and module.version == "v2":
        module.queue = KeyQueue(8, 24)
    views = [numbers(IMAGES, 3, 16, 16, seed=20 + i)[part] for i in range(2 + getattr(module, "num_local", 0))]
    loss = module.objective(Batch(views), 0.5).loss
    loss.backward()
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    buffers = [value.float().flatten() for _, value in module.named_buffers()]
    return {"loss": loss.item(), "gradient": torch.cat(gradients), "buffers": torch.cat(buffers)}


def gathered() -> dict[str, Any]:
    """What a rank gathers, and the gradients that come back to its samples."""
    found: dict[str, Any] = {"rank": rank(), "world_size": world_size()}
    for name, transpose in (("gradient", False), ("gradient through a transpose", True)):
        samples = of_rank(numbers(IMAGES, 5), rank()).clone().requires_grad_()
        joint, weights = gather_samples(samples), weights_of(rank())
        product = joint.T.contiguous() * weights.T.contiguous() if transpose else joint * weights
        product.sum().backward()
        found |= {"joint": joint.detach(), name: samples.grad}
    return found


def work(folder: Path, number: int) -> None:
    """What each process of the pair does."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{folder}/meeting", world_size=RANKS, rank=number, timeout=timedelta(seconds=120)
    )
    size = IMAGES // RANKS
    found = {**find(slice(number * size, (number + 1) * size)), **gathered()}
    found["unequal"] = losses_of((slice(0, 2), slice(2, None))[number], STATISTICS)
    found["of one"] = losses_of(slice(number, number + 1), STATISTICS)
    found["collectives"] = {
        name: collectives_of(METHODS[name], slice(number * size, (number + 1) * size)) for name in COLLECTIVES
    }
    torch.save(found, folder / f"{number}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder)]
    pair = [subprocess.Popen([*command, str(number)], env=environment) for number in range(RANKS)]
    assert [process.wait(timeout=180) for process in pair] == [0] * RANKS
    return [torch.load(folder / f"{number}.pt", weights_only=True) for number in range(RANKS)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return find(slice(None))


def mean_over(ranks: list[dict[str, Any]], name: str, part: str) -> Tensor:
    return torch.stack([torch.as_tensor(found[name][part]) for found in ranks]).mean(dim=0)


def test_samples_are_gathered_in_the_order_of_the_ranks(ranks: list[dict[str, Any]]) -> None:
    for number, found in enumerate(ranks):
        assert (found["rank"], found["world_size"]) == (number, RANKS)
        assert torch.equal(found["joint"], numbers(IMAGES, 5))


@pytest.mark.parametrize("way", ["gradient", "gradient through a transpose"])
def test_gradients_of_all_ranks_come_back_to_the_samples_and_are_summed(ranks: list[dict[str, Any]], way: str) -> None:
    for number, found in enumerate(ranks):
        expected = sum(of_rank(weights_of(sender), number) for sender in range(RANKS))
        torch.testing.assert_close(found[way], expected)


@pytest.mark.parametrize("name", [name for name in LOSSES if "alone" not in name])
def test_losses_and_gradients_averaged_over_ranks_are_those_of_the_joint_batch(
    ranks: list[dict[str, Any]], alone: dict[str, Any], name: str
) -> None:
    assert mean_over(ranks, name, "loss").item() == pytest.approx(alone[name]["loss"], rel=1e-5)
    assert alone[name]["gradient"].abs().max() > 1e-2
    torch.testing.assert_close(mean_over(ranks, name, "gradient"), alone[name]["gradient"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize(("kind", "joint"), [("unequal", slice(None)), ("of one", slice(0, 2))])
def test_statistics_of_ranks_with_other_numbers_of_samples_are_those_of_the_joint_batch(
    ranks: list[dict[str, Any]], name: str, kind: str, joint: slice
) -> None:
    expected, found = losses_of(joint, [name]), [each[kind] for each in ranks]
    assert mean_over(found, name, "loss").item() == pytest.approx(expected[name]["loss"], rel=1e-5)
    torch.testing.assert_close(mean_over(found, name, "gradient"), expected[name]["gradient"], rtol=1e-5, atol=1e-4)


def test_a_step_sends_sums_once_or_twice_and_nothing_in_its_backward_pass(ranks: list[dict[str, Any]]) -> None:
    assert [found["collectives"] for found in ranks] == [COLLECTIVES] * RANKS


@pytest.mark.parametrize("name", METHODS)
def test_a_step_on_two_ranks_is_that_of_one_on_the_joint_batch(
    ranks: list[dict[str, Any]], alone: dict[str, Any], name: str
) -> None:
    name = f"step of {name}"
    assert mean_over(ranks, name, "loss").item() == pytest.approx(alone[name]["loss"], rel=1e-5)
    scale = alone[name]["gradient"].abs().max()
    assert scale > 1e-4
    difference = (mean_over(ranks, name, "gradient") - alone[name]["gradient"]).abs().max()
    assert difference < 1e-5 * max(1.0, scale)
    # queues, centers and counts of draws
    for found in ranks:
        torch.testing.assert_close(found[name]["buffers"], alone[name]["buffers"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in LOSSES if "alone" in name])
def test_without_gathering_they_are_not(ranks: list[dict[str, Any]], alone: dict[str, Any], name: str) -> None:
    assert mean_over(ranks, name, "loss").item() != pytest.approx(alone[name]["loss"], rel=1e-2)


def test_every_rank_computes_the_same_statistic(ranks: list[dict[str, Any]]) -> None:
    for name in (*STATISTICS, "content", "uniformity"):
        assert ranks[0][name]["loss"] == ranks[1][name]["loss"]


def test_assignments_and_centre_are_those_of_the_joint_batch(
    ranks: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    torch.testing.assert_close(torch.cat([found["assigned"] for found in ranks]), alone["assigned"])
    assert torch.equal(ranks[0]["centre"], ranks[1]["centre"])
    torch.testing.assert_close(ranks[0]["centre"], alone["centre"])


def test_outside_of_a_distributed_run_samples_are_their_own() -> None:
    samples = torch.randn(3, 2)
    assert gather_samples(samples) is samples
    assert (rank(), world_size()) == (0, 1)


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
