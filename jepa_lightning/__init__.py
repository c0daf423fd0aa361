"""JEPA and its baselines as interchangeable PyTorch Lightning modules."""

# ruff: noqa: E402  # Lightning reads the variables when it is imported
from jepa_lightning.rank_variables import check_rank_variables

check_rank_variables()

from jepa_lightning.modules import (
    BYOL,
    DINO,
    IJEPA,
    MAE,
    VJEPA,
    BarlowTwins,
    JEPAModule,
    LeJEPA,
    MoCo,
    SimCLR,
    SimSiam,
    VICReg,
)
from jepa_lightning.strategies import FSDP2Strategy

__all__ = [
    "BYOL",
    "DINO",
    "IJEPA",
    "MAE",
    "VJEPA",
    "BarlowTwins",
    "FSDP2Strategy",
    "JEPAModule",
    "LeJEPA",
    "MoCo",
    "SimCLR",
    "SimSiam",
    "VICReg",
]
