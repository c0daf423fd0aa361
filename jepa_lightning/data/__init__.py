from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.digits import DigitsDataModule
from jepa_lightning.data.image_folder import ImageFolderDataModule
from jepa_lightning.data.physics import PhysicsVideoDataModule, PhysicsVideoDataset
from jepa_lightning.data.physics_pairs import ViolationDataset, ViolationPair
from jepa_lightning.data.pipelines import Collate, Pipeline, RepeatedView, Views, eval_view, masked_image_pipeline
from jepa_lightning.data.shapes import ShapesDataModule, ShapesDataset
from jepa_lightning.data.streaming import StreamingImageDataModule, StreamingVideoDataModule
from jepa_lightning.data.torchvision_sets import CIFAR10DataModule, CIFAR100DataModule, STL10DataModule
from jepa_lightning.data.video import ClipSampler, TensorVideo, Video, masked_video_pipeline
from jepa_lightning.data.video_file import VideoFile
from jepa_lightning.data.video_folder import VideoFolderDataModule, VideoManifestDataModule

__all__ = [
    "CIFAR10DataModule",
    "CIFAR100DataModule",
    "ClipSampler",
    "Collate",
    "DigitsDataModule",
    "ImageFolderDataModule",
    "JEPADataModule",
    "PhysicsVideoDataModule",
    "PhysicsVideoDataset",
    "Pipeline",
    "RepeatedView",
    "STL10DataModule",
    "ShapesDataModule",
    "ShapesDataset",
    "StreamingImageDataModule",
    "StreamingVideoDataModule",
    "TensorVideo",
    "Video",
    "VideoFile",
    "VideoFolderDataModule",
    "VideoManifestDataModule",
    "Views",
    "ViolationDataset",
    "ViolationPair",
    "eval_view",
    "masked_image_pipeline",
    "masked_video_pipeline",
]
