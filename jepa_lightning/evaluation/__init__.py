from jepa_lightning.evaluation.surprise import surprise

__all__ = ["surprise"]
