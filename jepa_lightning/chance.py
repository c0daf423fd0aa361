"""Seeds of dropout and stochastic depth for each step, so that a resumed run draws the same numbers."""

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
    on_mps = device.type == "mps"
    # torch.random.fork_rng would give torch.mps.get_rng_state a device, which it takes since torch 2.14 alone
    state = torch.mps.get_rng_state() if on_mps else None
    kind = "cpu" if on_mps else device.type
    with torch.random.fork_rng([] if kind == "cpu" else [device], device_type=kind):
        # the hash of a tuple of integers is the same in every process
        torch.manual_seed(hash(numbers) & 0x7FFF_FFFF_FFFF_FFFF)
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)
