from jepa_lightning.interop.bolts import BoltsDataModule

__all__ = ["BoltsDataModule"]
