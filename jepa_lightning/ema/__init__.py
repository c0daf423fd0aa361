"""Targets that follow their online networks as an exponential moving average."""

from jepa_lightning.ema.average import EMAPair, EMASchedule, check_pair, ema_decay, ema_update_, frozen_copy
from jepa_lightning.ema.callback import EMACallback

__all__ = ["EMACallback", "EMAPair", "EMASchedule", "check_pair", "ema_decay", "ema_update_", "frozen_copy"]
