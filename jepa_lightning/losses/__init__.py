from jepa_lightning.losses.barlow import BarlowTwinsLoss, barlow_twins_loss
from jepa_lightning.losses.content import token_content
from jepa_lightning.losses.context import (
    ContextWeights,
    context_loss,
    context_share,
    context_weights,
    distance_to_targets,
)
from jepa_lightning.losses.contrastive import InfoNCE, NTXent, info_nce_loss, nt_xent_loss
from jepa_lightning.losses.distillation import Center, distillation_loss, sinkhorn_knopp
from jepa_lightning.losses.info_nce import info_nce
from jepa_lightning.losses.inverse_dynamics import inverse_dynamics_loss
from jepa_lightning.losses.measures import content_share, effective_rank, feature_std, mean_cosine, rankme, ranks
from jepa_lightning.losses.prediction import Distance, PredictionLoss, prediction_distance, prediction_loss
from jepa_lightning.losses.sigreg import SIGReg, sigreg_loss
from jepa_lightning.losses.state_terms import StateTerms
from jepa_lightning.losses.targets import normalize_targets
from jepa_lightning.losses.time_similarity import time_similarity_loss
from jepa_lightning.losses.uniformity import Uniformity, uniformity_loss
from jepa_lightning.losses.vicreg import VarianceCovariance, covariance_loss, variance_loss

__all__ = [
    "BarlowTwinsLoss",
    "Center",
    "ContextWeights",
    "Distance",
    "InfoNCE",
    "NTXent",
    "PredictionLoss",
    "SIGReg",
    "StateTerms",
    "Uniformity",
    "VarianceCovariance",
    "barlow_twins_loss",
    "content_share",
    "context_loss",
    "context_share",
    "context_weights",
    "covariance_loss",
    "distance_to_targets",
    "distillation_loss",
    "effective_rank",
    "feature_std",
    "info_nce",
    "info_nce_loss",
    "inverse_dynamics_loss",
    "mean_cosine",
    "normalize_targets",
    "nt_xent_loss",
    "prediction_distance",
    "prediction_loss",
    "rankme",
    "ranks",
    "sigreg_loss",
    "sinkhorn_knopp",
    "time_similarity_loss",
    "token_content",
    "uniformity_loss",
    "variance_loss",
]
