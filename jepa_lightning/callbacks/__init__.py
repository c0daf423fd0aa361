from jepa_lightning.callbacks.ema import EMACallback

__all__ = ["EMACallback"]
