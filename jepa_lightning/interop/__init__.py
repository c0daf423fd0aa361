"""Data and weights of other libraries."""

from jepa_lightning.interop.bolts import BoltsDataModule
from jepa_lightning.interop.huggingface import vjepa2_weights
from jepa_lightning.interop.pretrained import LoadedModule, load_pretrained
from jepa_lightning.interop.reference import Loaded, load_reference
from jepa_lightning.interop.report import LoadReport

__all__ = [
    "BoltsDataModule",
    "LoadReport",
    "Loaded",
    "LoadedModule",
    "load_pretrained",
    "load_reference",
    "vjepa2_weights",
]
