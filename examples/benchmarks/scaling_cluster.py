# P parameters, W ranks, B batch of one rank
"""Memory, communication and time of an I-JEPA step on GPUs: formulas of the sizes and of ``Cluster``, nothing measured.

``scaling.py --paper`` prints them with what they assume.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scaling_ijepa import BF16, FP32, Architecture, Network, kept_tokens

BUCKET = 25 * 2**20  # bytes of gradients that DDP reduces at a time, its default


@dataclass(frozen=True)
class Cluster:
    """What the machines can do; the defaults are data sheets and guesses for H100 SXM.

    Args:
        node: GPUs of a node.
        memory: usable bytes of a GPU.
        flops: peak of a GPU, bf16.
        mfu: share of it that forward and backward reach.
        hbm: bytes per second of a GPU's memory.
        nvlink: bytes per second and direction of a GPU within its node.
        nic: bytes per second and direction of a GPU's network card.
        link_efficiency: share of both that collectives reach.
        nvlink_hop: seconds a step of a ring or tree takes within a node, whatever its size.
        nic_hop: the same between nodes.
        cores: processor cores of a node.
    """

    node: int = 8
    memory: float = 72e9
    flops: float = 989e12
    mfu: float = 0.4
    hbm: float = 3.35e12
    nvlink: float = 450e9
    nic: float = 50e9
    link_efficiency: float = 0.8
    nvlink_hop: float = 2e-6
    nic_hop: float = 10e-6
    cores: int = 112

    def bandwidth(self, ranks: int) -> float:
        """Bytes per second at which a ring runs: what leaves a node does so once, spread over its network cards."""
        slowest = self.nvlink if ranks <= self.node else min(self.nvlink, self.node * self.nic)
        return self.link_efficiency * slowest

    def shard_seconds(self, parameters: float, ranks: int) -> float:
        """One all-gather, or one reduce-scatter, of fp32: a ring over all ranks."""
        between = ranks // self.node if ranks > self.node else 0
        latency = (ranks - 1 - between) * self.nvlink_hop + between * self.nic_hop if ranks > 1 else 0.0
        return (ranks - 1) / ranks * FP32 * parameters / self.bandwidth(ranks) + latency

    def reduce_seconds(self, parameters: float, ranks: int) -> float:
        """One all-reduce of fp32: the bytes of a ring, the latency of a tree there and back."""
        nodes = math.ceil(ranks / self.node)
        latency = 2 * math.log2(min(ranks, self.node)) * self.nvlink_hop + 2 * math.log2(nodes) * self.nic_hop
        return 2 * (ranks - 1) / ranks * FP32 * parameters / self.bandwidth(ranks) + latency


@dataclass(frozen=True)
class Job:
    """A training step of an architecture on GPUs.

    Args:
        model: the architecture.
        strategy: ddp or fsdp2.
        ranks: W.
        batch_size: B.
        recompute: blocks run once more in the backward pass instead of keeping their activations.
    """

    model: Architecture
    strategy: str
    ranks: int
    batch_size: int
    recompute: bool = False

    @property
    def trained(self) -> int:
        """Parameters of context encoder and predictor."""
        return sum(network.parameters for network in self.model.networks)

    @property
    def target(self) -> int:
        """Parameters of the target encoder."""
        return self.model.networks[0].parameters

    def state(self) -> dict[str, float]:
        """Bytes a rank that stay from step to step, and gradients, in fp32.

        DDP reduces copies of the gradients, in buckets, by default.
        """
        share = 1 / self.ranks if self.strategy == "fsdp2" else 1.0
        copies = FP32 * self.trained if self.strategy == "ddp" else 0.0
        return {
            "weights": FP32 * (self.trained + self.target) * share,
            "gradients": FP32 * self.trained * share,
            "Adam": 2 * FP32 * self.trained * share,
            "buckets": copies,
        }

    def memory(self) -> dict[str, float]:
        """Bytes a rank, by term, as if all were there at once."""
        largest = max(max(network.units) for network in self.model.networks)
        # two units with their weights, the buffer of a third, the gradients of one and their buffer
        gathered = 5 * FP32 * largest if self.strategy == "fsdp2" else 0.0
        kept = kept_tokens(self.model.grid, self.batch_size)
        # autograd keeps each weight that autocast has made bf16, gathered or not, until its layer's backward pass
        casts = BF16 * (largest if self.recompute else self.trained)
        activations = self.batch_size * self.model.activations(*kept, self.recompute)
        return self.state() | {"gathered": gathered, "bf16 weights": casts, "activations": activations}

    def sent(self) -> float:
        """Bytes that a rank sends in a step, over rings.

        Sharded weights are gathered once a forward pass and once more for the backward pass of what is trained, whose
        gradients are then reduced and scattered; an all-reduce is as much as a reduction and a gathering.
        """
        times = 2 * self.trained if self.strategy == "ddp" else 3 * self.trained + self.target
        return (self.ranks - 1) / self.ranks * FP32 * times

    def seconds(self, cluster: Cluster) -> dict[str, float]:
        """Of a step: computing, all communication, the part of it that computing does not hide, and the updates."""
        flops = self.model.flops(*kept_tokens(self.model.grid, self.batch_size), self.recompute)
        speed = cluster.mfu * cluster.flops
        compute = {name: self.batch_size * count / speed for name, count in flops.items()}
        total, exposed = (self._reduced if self.strategy == "ddp" else self._sharded)(cluster, compute)
        share = 1 / self.ranks if self.strategy == "fsdp2" else 1.0
        # Adam reads weight, gradient and two moments and writes three of them; the average reads two and writes one
        update = FP32 * (7 * self.trained + 3 * self.target) * share / cluster.hbm
        return {"compute": sum(compute.values()), "communication": total, "exposed": exposed, "update": update}

    def _reduced(self, cluster: Cluster, compute: dict[str, float]) -> tuple[float, float]:
        """DDP: buckets are reduced during the backward pass; nothing hides the last one."""
        number = math.ceil(FP32 * self.trained / BUCKET)
        one = cluster.reduce_seconds(self.trained / number, self.ranks)
        backward = compute["predictor backward"] + compute["context backward"]
        return number * one, one + max(0.0, (number - 1) * one - backward)

    def _sharded(self, cluster: Cluster, compute: dict[str, float]) -> tuple[float, float]:
        """FSDP2: a network gathers its next unit while it computes; nothing hides its first two, or its last sum."""
        encoder, predictor = self.model.networks
        total = exposed = 0.0
        for name, network in (("target", encoder), ("context", encoder), ("predictor", predictor)):
            gathers = self._gathers(cluster, network)
            total += sum(gathers)
            exposed += uncovered(gathers, compute[name])
            if name != "target":
                total += 2 * sum(gathers)  # once more, and sums of as many bytes
                exposed += uncovered(gathers, compute[f"{name} backward"], sums=gathers)
        return total, exposed

    def _gathers(self, cluster: Cluster, network: Network) -> Sequence[float]:
        return [cluster.shard_seconds(unit, self.ranks) for unit in network.units]


def uncovered(gathers: Sequence[float], compute: float, sums: Sequence[float] = (0.0,)) -> float:
    """Seconds that a pass waits: for its first units, for what is longer than the computing, and for its last sum.

    Args:
        gathers: seconds for each unit; what is not a block comes first, and computes nothing.
        compute: seconds of all blocks; the last one hides no gathering.
        sums: seconds for each unit's gradients, in a backward pass.
    """
    first, second, *others = gathers
    blocks = len(gathers) - 1
    hidden = compute * (blocks - 1) / blocks
    return first + second + max(0.0, sum(others) + sum(sums[:-1]) - hidden) + sums[-1]
