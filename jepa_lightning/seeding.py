"""Seeds of dropout and stochastic depth for each step, so that a resumed run draws the same numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded_chance(*numbers: int, device: torch.device) -> Iterator[None]:
    """Runs a block with torch's generators seeded from some numbers, and restores them.

    Args:
        numbers: for example seed, rank and step: each combination gives other random numbers.
        device: whose generator is seeded beside that of the CPU.
    """
    on_mps = device.type == "mps"
    # torch.random.fork_rng would give torch.mps.get_rng_state a device, which it takes since torch 2.14 alone
    state = torch.mps.get_rng_state() if on_mps else None
    kind = "cpu" if on_mps else device.type
    with torch.random.fork_rng([] if kind == "cpu" else [device], device_type=kind):
        # torch.manual_seed takes some milliseconds where CUDA is not initialized
        seed = torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
        seed(seed_from(*numbers))
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)


def seed_from(*numbers: int) -> int:
    """A seed in [0, 2^63) that follows from some integers, the same in every process.

    Args:
        numbers: for example seed, epoch and sample; other numbers give another seed.
    """
    # The hash of a tuple of integers does not depend on PYTHONHASHSEED. CPython gives -1 and -2 the same hash, so -2 is
    # replaced by a number that nothing counts to.
    return hash(tuple(-(2**60) if number == -2 else number for number in numbers)) & 0x7FFF_FFFF_FFFF_FFFF
