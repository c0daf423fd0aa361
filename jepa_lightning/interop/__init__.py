"""Data and weights of other libraries."""

from jepa_lightning.interop.bolts import BoltsDataModule
from jepa_lightning.interop.huggingface import vjepa2_weights

__all__ = ["BoltsDataModule", "vjepa2_weights"]
