from jepa_lightning.modules.barlow_twins import BarlowTwins
from jepa_lightning.modules.base import JEPAModule
from jepa_lightning.modules.byol import BYOL
from jepa_lightning.modules.classifier import Classifier
from jepa_lightning.modules.dino import DINO
from jepa_lightning.modules.ijepa import IJEPA
from jepa_lightning.modules.joint_embedding import JointEmbedding
from jepa_lightning.modules.latent_prediction import LatentPrediction
from jepa_lightning.modules.lejepa import LeJEPA
from jepa_lightning.modules.mae import MAE
from jepa_lightning.modules.moco import MoCo
from jepa_lightning.modules.multi_crop import MultiCrop
from jepa_lightning.modules.simclr import SimCLR
from jepa_lightning.modules.simsiam import SimSiam
from jepa_lightning.modules.vicreg import VICReg
from jepa_lightning.modules.vjepa import VJEPA
from jepa_lightning.modules.world_model import WorldModel

__all__ = [
    "BYOL",
    "DINO",
    "IJEPA",
    "MAE",
    "VJEPA",
    "BarlowTwins",
    "Classifier",
    "JEPAModule",
    "JointEmbedding",
    "LatentPrediction",
    "LeJEPA",
    "MoCo",
    "MultiCrop",
    "SimCLR",
    "SimSiam",
    "VICReg",
    "WorldModel",
]
