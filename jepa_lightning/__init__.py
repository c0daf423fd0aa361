"""JEPA and its baselines as interchangeable PyTorch Lightning modules.

Names are imported when they are used, so that ``jepa-lightning --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jepa_lightning.rank_variables import check_rank_variables

if TYPE_CHECKING:
    from jepa_lightning.distributed import FSDP2Strategy as FSDP2Strategy
    from jepa_lightning.modules import BYOL as BYOL
    from jepa_lightning.modules import DINO as DINO
    from jepa_lightning.modules import IJEPA as IJEPA
    from jepa_lightning.modules import MAE as MAE
    from jepa_lightning.modules import VJEPA as VJEPA
    from jepa_lightning.modules import BarlowTwins as BarlowTwins
    from jepa_lightning.modules import Classifier as Classifier
    from jepa_lightning.modules import JEPAModule as JEPAModule
    from jepa_lightning.modules import LeJEPA as LeJEPA
    from jepa_lightning.modules import MoCo as MoCo
    from jepa_lightning.modules import SimCLR as SimCLR
    from jepa_lightning.modules import SimSiam as SimSiam
    from jepa_lightning.modules import VICReg as VICReg
    from jepa_lightning.modules import WorldModel as WorldModel

# Lightning reads the variables when it is imported
check_rank_variables()

__version__ = "0.1.0"

__all__ = [
    "BYOL",
    "DINO",
    "IJEPA",
    "MAE",
    "VJEPA",
    "BarlowTwins",
    "Classifier",
    "FSDP2Strategy",
    "JEPAModule",
    "LeJEPA",
    "MoCo",
    "SimCLR",
    "SimSiam",
    "VICReg",
    "WorldModel",
    "__version__",
]
FOLDERS = (
    "callbacks", "checkpoints", "cli", "data", "distributed", "ema", "energy", "evaluation", "interop", "losses",
    "masking", "modules", "nn", "optim", "planning", "probing", "worlds",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in FOLDERS:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        return getattr(import_module(f"{__name__}.{'distributed' if name == 'FSDP2Strategy' else 'modules'}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *FOLDERS, *(name for name in globals() if name.startswith("__"))})
