"""Environment variables that launchers set for each process of a run, checked before Lightning reads them.

Lightning reads some of them when it is imported, so that an error could not be explained later.
"""

import os
import sys

NAMES = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_PORT",
    "JSM_NAMESPACE_RANK", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE", "SLURM_NNODES",
)  # fmt: skip


def check_rank_variables() -> None:
    """Refuses values that are not whole numbers.

    Raises:
        ValueError: if one is not; on the command line SystemExit, with the same text as its message.
    """
    for name in NAMES:
        value = os.environ.get(name)
        if value is not None and not value.isdecimal():
            text = (
                f"the environment variable {name} is {value!r}, and must be a whole number: launchers such as torchrun "
                f"and SLURM set it; run `unset {name}` where none is in use."
            )
            if os.path.basename(sys.argv[0]) in ("jepa-lightning", "-m"):
                sys.exit(f"jepa-lightning: error: {text}")
            raise ValueError(text)
