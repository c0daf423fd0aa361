"""Options that the studies have in common: of one run or several, and where the results go."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def study_parser(
    description: str | None,
    *,
    steps: int,
    out: str,
    writes: str,
    seeds: Sequence[int] = (0, 1, 2),
    batch_size: int = 64,
    num_workers: int | None = 2,
) -> argparse.ArgumentParser:
    """A parser with the common options; a study adds its own.

    Args:
        description: docstring of the study.
        steps: default of ``--steps``.
        out: default of ``--out``.
        writes: what the study writes there.
        seeds: default of ``--seeds``.
        batch_size: default of ``--batch-size``.
        num_workers: default of ``--num-workers``; None for a study that loads nothing.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(seeds), help="one run each; default: %(default)s")
    parser.add_argument("--steps", type=int, default=steps, help="of the optimizer; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=batch_size, help="samples of a step; default: %(default)s")
    if num_workers is not None:
        parser.add_argument(
            "--num-workers", type=int, default=num_workers, help="processes that load data; default: %(default)s"
        )
    parser.add_argument("--precision", default="32-true", help="of the Trainer, such as bf16-mixed")
    parser.add_argument("--out", type=Path, default=Path(out), help=f"writes {writes}; default: %(default)s")
    return parser
