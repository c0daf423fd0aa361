from jepa_lightning.nn.attention import SelfAttention, attend
from jepa_lightning.nn.attentive_classifier import AttentiveClassifier
from jepa_lightning.nn.attentive_pooler import AttentivePooler
from jepa_lightning.nn.backbone import Stem, TimmBackbone
from jepa_lightning.nn.causal_predictor import CausalPredictor
from jepa_lightning.nn.class_token import ClassTokenViT
from jepa_lightning.nn.conv_block import ConvBlock
from jepa_lightning.nn.gru_predictor import GRUPredictor
from jepa_lightning.nn.heads import PrototypeHead, mlp_head, projection_head
from jepa_lightning.nn.impala import ImpalaEncoder
from jepa_lightning.nn.init import init_xavier_weights
from jepa_lightning.nn.joined_tokens import JoinedTokens
from jepa_lightning.nn.key_queue import KeyQueue
from jepa_lightning.nn.masked_convnet import MaskedConvNet
from jepa_lightning.nn.mlp_predictor import MLPPredictor
from jepa_lightning.nn.modality import is_image
from jepa_lightning.nn.patch_embed import ConvPatchEmbed, PatchEmbedding
from jepa_lightning.nn.patchify import patchify
from jepa_lightning.nn.pixel_grid import PixelGrid
from jepa_lightning.nn.pos_embed import grid_size, sincos_pos_embed
from jepa_lightning.nn.predictor import Predictor
from jepa_lightning.nn.rope import RopeStyle, rope_table, rotate
from jepa_lightning.nn.strided import StridedEncoder
from jepa_lightning.nn.timm_vit import TimmViT
from jepa_lightning.nn.token_predictor import TokenPredictor
from jepa_lightning.nn.tokens import blocks_of, take_tokens
from jepa_lightning.nn.transformer_block import TransformerBlock, compile_blocks
from jepa_lightning.nn.vit import VIT_SIZES, VisionTransformer, ViTSize, vit_size

__all__ = [
    "VIT_SIZES",
    "AttentiveClassifier",
    "AttentivePooler",
    "CausalPredictor",
    "ClassTokenViT",
    "ConvBlock",
    "ConvPatchEmbed",
    "GRUPredictor",
    "ImpalaEncoder",
    "JoinedTokens",
    "KeyQueue",
    "MLPPredictor",
    "MaskedConvNet",
    "PatchEmbedding",
    "PixelGrid",
    "Predictor",
    "PrototypeHead",
    "RopeStyle",
    "SelfAttention",
    "Stem",
    "StridedEncoder",
    "TimmBackbone",
    "TimmViT",
    "TokenPredictor",
    "TransformerBlock",
    "ViTSize",
    "VisionTransformer",
    "attend",
    "blocks_of",
    "compile_blocks",
    "grid_size",
    "init_xavier_weights",
    "is_image",
    "mlp_head",
    "patchify",
    "projection_head",
    "rope_table",
    "rotate",
    "sincos_pos_embed",
    "take_tokens",
    "vit_size",
]
