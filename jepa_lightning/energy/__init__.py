from jepa_lightning.energy.blind import blind_energy
from jepa_lightning.energy.maps import energy_map, token_grid
from jepa_lightning.energy.pairs import pair_energy, pairwise_energy, true_and_foreign
from jepa_lightning.energy.scores import Score, anomaly_score
from jepa_lightning.energy.separation import auroc
from jepa_lightning.energy.sides import Energetic, Sided, Sides, energy_of

__all__ = [
    "Energetic",
    "Score",
    "Sided",
    "Sides",
    "anomaly_score",
    "auroc",
    "blind_energy",
    "energy_map",
    "energy_of",
    "pair_energy",
    "pairwise_energy",
    "token_grid",
    "true_and_foreign",
]
