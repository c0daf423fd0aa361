from jepa_lightning.masking.multi_block import MultiBlockMask
from jepa_lightning.masking.random_mask import RandomMask
from jepa_lightning.masking.sampler import MaskSampler

__all__ = ["MaskSampler", "MultiBlockMask", "RandomMask"]
