from jepa_lightning.losses.content import token_content
from jepa_lightning.losses.measures import content_share, effective_rank, feature_std, mean_cosine, rankme
from jepa_lightning.losses.prediction import Distance, PredictionLoss, prediction_distance, prediction_loss
from jepa_lightning.losses.sigreg import SIGReg, sigreg_loss
from jepa_lightning.losses.targets import normalize_targets
from jepa_lightning.losses.uniformity import Uniformity, uniformity_loss
from jepa_lightning.losses.vicreg import VarianceCovariance, covariance_loss, variance_loss

__all__ = [
    "Distance",
    "PredictionLoss",
    "SIGReg",
    "Uniformity",
    "VarianceCovariance",
    "content_share",
    "covariance_loss",
    "effective_rank",
    "feature_std",
    "mean_cosine",
    "normalize_targets",
    "prediction_distance",
    "prediction_loss",
    "rankme",
    "sigreg_loss",
    "token_content",
    "uniformity_loss",
    "variance_loss",
]
