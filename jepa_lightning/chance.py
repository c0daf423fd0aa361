"""Chance within networks, such as drop path and dropout, that a resumed run draws again."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded_chance(*numbers: int, device: torch.device) -> Iterator[None]:
    """Runs a block with torch's generators seeded from some numbers, and puts them back.

    Args:
        numbers: for example seed, rank and step: each combination has numbers of its own.
        device: whose generator is seeded beside that of the CPU.
    """
    with torch.random.fork_rng([device] if device.type != "cpu" else [], device_type=device.type):
        # the hash of a tuple of integers is the same in every process
        torch.manual_seed(hash(numbers) & 0x7FFF_FFFF_FFFF_FFFF)
        yield
