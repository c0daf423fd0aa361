from jepa_lightning.modules.base import JEPAModule
from jepa_lightning.modules.ijepa import IJEPA

__all__ = ["IJEPA", "JEPAModule"]
