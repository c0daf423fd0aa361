from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.collate import Collate, Views
from jepa_lightning.data.images.coco import CocoDataModule
from jepa_lightning.data.images.digits import DigitsDataModule
from jepa_lightning.data.images.folder import ImageFolderDataModule
from jepa_lightning.data.images.masks import MaskFolderDataModule
from jepa_lightning.data.images.torchvision_sets import CIFAR10DataModule, CIFAR100DataModule, STL10DataModule
from jepa_lightning.data.pipelines import Pipeline, RepeatedView, eval_view, masked_image_pipeline
from jepa_lightning.data.procedural.odd_scenes import OddScenesDataModule, OddScenesDataset
from jepa_lightning.data.procedural.physics import PhysicsVideoDataModule, PhysicsVideoDataset
from jepa_lightning.data.procedural.physics_pairs import ViolationDataset, ViolationPair
from jepa_lightning.data.procedural.shapes import ShapesDataModule, ShapesDataset
from jepa_lightning.data.shards.streaming import StreamingImageDataModule, StreamingVideoDataModule
from jepa_lightning.data.trajectories.module import TrajectoryDataModule
from jepa_lightning.data.trajectories.two_rooms import TwoRoomsDataModule, TwoRoomsDataset
from jepa_lightning.data.videos.clips import ClipSampler, masked_video_pipeline
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.folder import VideoFolderDataModule
from jepa_lightning.data.videos.manifest import VideoManifestDataModule
from jepa_lightning.data.videos.mixed import MixedDataModule
from jepa_lightning.data.videos.video import TensorVideo, Video

__all__ = [
    "CIFAR10DataModule",
    "CIFAR100DataModule",
    "ClipSampler",
    "CocoDataModule",
    "Collate",
    "DigitsDataModule",
    "ImageFolderDataModule",
    "JEPADataModule",
    "MaskFolderDataModule",
    "MixedDataModule",
    "OddScenesDataModule",
    "OddScenesDataset",
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
    "TrajectoryDataModule",
    "TwoRoomsDataModule",
    "TwoRoomsDataset",
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
