from jepa_lightning.callbacks.attentive_probe import OnlineAttentiveProbe
from jepa_lightning.callbacks.collapse import CollapseMonitor
from jepa_lightning.callbacks.ema import EMACallback
from jepa_lightning.callbacks.feature_writer import FeatureWriter
from jepa_lightning.callbacks.hyperparameters import HyperparameterMetrics
from jepa_lightning.callbacks.knn import OnlineKNN
from jepa_lightning.callbacks.last_checkpoint import LastCheckpoint
from jepa_lightning.callbacks.linear_probe import OnlineLinearProbe
from jepa_lightning.callbacks.probe_report import ProbeReport
from jepa_lightning.callbacks.start_from import StartFrom
from jepa_lightning.callbacks.summary import Summary
from jepa_lightning.callbacks.throughput import Throughput

__all__ = [
    "CollapseMonitor",
    "EMACallback",
    "FeatureWriter",
    "HyperparameterMetrics",
    "LastCheckpoint",
    "OnlineAttentiveProbe",
    "OnlineKNN",
    "OnlineLinearProbe",
    "ProbeReport",
    "StartFrom",
    "Summary",
    "Throughput",
]
