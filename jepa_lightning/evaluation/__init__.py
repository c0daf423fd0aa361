from jepa_lightning.evaluation.intervals import wilson_interval
from jepa_lightning.evaluation.surprise import surprise

__all__ = ["surprise", "wilson_interval"]
