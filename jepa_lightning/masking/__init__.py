from jepa_lightning.masking.causal import CausalMask
from jepa_lightning.masking.cover import covering_masks
from jepa_lightning.masking.multi_block import MultiBlockMask
from jepa_lightning.masking.multi_block_3d import MultiBlock3DMask
from jepa_lightning.masking.random_mask import RandomMask
from jepa_lightning.masking.random_tube import RandomTubeMask
from jepa_lightning.masking.sampler import MaskSampler

__all__ = [
    "CausalMask",
    "MaskSampler",
    "MultiBlock3DMask",
    "MultiBlockMask",
    "RandomMask",
    "RandomTubeMask",
    "covering_masks",
]
