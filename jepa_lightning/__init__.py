"""JEPA and its baselines as interchangeable PyTorch Lightning modules."""

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

__all__ = [
    "BYOL",
    "DINO",
    "IJEPA",
    "MAE",
    "VJEPA",
    "BarlowTwins",
    "JEPAModule",
    "LeJEPA",
    "MoCo",
    "SimCLR",
    "SimSiam",
    "VICReg",
]
