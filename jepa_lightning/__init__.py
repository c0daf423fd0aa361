"""JEPA and its baselines as interchangeable PyTorch Lightning modules."""

from jepa_lightning.modules import IJEPA, JEPAModule

__all__ = ["IJEPA", "JEPAModule"]
