from jepa_lightning.callbacks.best_checkpoint import BestCheckpoint
from jepa_lightning.callbacks.collapse import CollapseMonitor
from jepa_lightning.callbacks.feature_writer import FeatureWriter
from jepa_lightning.callbacks.hyperparameters import HyperparameterMetrics
from jepa_lightning.callbacks.last_checkpoint import LastCheckpoint
from jepa_lightning.callbacks.online_planning import OnlinePlanning
from jepa_lightning.callbacks.pictures.embedding import EmbeddingPlot
from jepa_lightning.callbacks.pictures.energy_histogram import EnergyHistogram
from jepa_lightning.callbacks.pictures.energy_map import EnergyMap
from jepa_lightning.callbacks.pictures.image_logger import ImageLogger
from jepa_lightning.callbacks.pictures.mask_pictures import MaskPictures
from jepa_lightning.callbacks.pictures.neighbors import NeighborPictures
from jepa_lightning.callbacks.pictures.rollouts import RolloutPictures
from jepa_lightning.callbacks.pictures.token_pca import TokenPCA
from jepa_lightning.callbacks.probes.attentive import OnlineAttentiveProbe
from jepa_lightning.callbacks.probes.knn import OnlineKNN
from jepa_lightning.callbacks.probes.linear import OnlineLinearProbe
from jepa_lightning.callbacks.probes.regression import OnlineRegressionProbe
from jepa_lightning.callbacks.probes.report import ProbeReport
from jepa_lightning.callbacks.probes.segmentation import OnlineSegmentationProbe
from jepa_lightning.callbacks.run_report import RunReport
from jepa_lightning.callbacks.start_from import StartFrom
from jepa_lightning.callbacks.summary import Summary
from jepa_lightning.callbacks.throughput import Throughput
from jepa_lightning.ema import EMACallback

__all__ = [
    "BestCheckpoint",
    "CollapseMonitor",
    "EMACallback",
    "EmbeddingPlot",
    "EnergyHistogram",
    "EnergyMap",
    "FeatureWriter",
    "HyperparameterMetrics",
    "ImageLogger",
    "LastCheckpoint",
    "MaskPictures",
    "NeighborPictures",
    "OnlineAttentiveProbe",
    "OnlineKNN",
    "OnlineLinearProbe",
    "OnlinePlanning",
    "OnlineRegressionProbe",
    "OnlineSegmentationProbe",
    "ProbeReport",
    "RolloutPictures",
    "RunReport",
    "StartFrom",
    "Summary",
    "Throughput",
    "TokenPCA",
]
