# B batch, C channels, T frames, H W height and width, N tokens, D width, K numbers of a label
"""A classifier on an encoder that is frozen or trained with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torchvision.transforms import v2

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.pipelines import Pipeline, RepeatedView, eval_view, flips, to_tensor
from jepa_lightning.data.videos.clips import masked_video_pipeline
from jepa_lightning.features import eval_mode
from jepa_lightning.modules.backbone import build_backbone, unused_patch
from jepa_lightning.modules.checkpoint_encoder import CheckpointEncoder
from jepa_lightning.modules.classifier_head import ClassifierHead, Head
from jepa_lightning.modules.classifier_labels import UNNAMED, ClassifierLabels
from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.modules.label_mixing import LabelMixing, label_loss
from jepa_lightning.nn import Stem
from jepa_lightning.nn.encoder_spec import Encoder, create_encoder
from jepa_lightning.optim.layer_decay import layer_decay_groups
from jepa_lightning.options import (
    FinalRate,
    Flip,
    ImageSize,
    LearningRate,
    NonNegativeFloat,
    PositiveInt,
    PositiveShare,
    ShareBelowOne,
    ShareRange,
)
from jepa_lightning.probing.label_kinds import ValueLabel
from jepa_lightning.types import Batch, StepOutput

SIZE = 224  # of images, where neither an option nor a checkpoint says it


class Classifier(EncoderModule):
    """A head on an encoder, for classes, tags or values; the encoder is frozen, or trained with the head.

    Labels are those of the data, told by dtype and shape: class indices (cross-entropy), vectors of 0 and 1 (binary
    cross-entropy) and numbers (squared error, on standardized values). Where samples have several labels by name, each
    has its own outputs, and their losses are added. It logs ``train/loss``, ``val/loss``, and ``val/accuracy``,
    ``val/map`` or ``val/r2`` and ``val/mae``, with the name of the label before the metric where there are several.

    Called on a view it gives outputs, as classifiers of timm and torchvision do; ``forward_features`` gives tokens,
    ``feature_maps`` maps, and ``predict`` features of the encoder.

    Args:
        encoder: A checkpoint of this package (a path that ends in ``.ckpt``), a named size such as ``vit_small``, a
            network of timm (``timm:resnet18``), a network of your own, or the dict of its class.
        head: What gives outputs: ``linear`` on the mean of the tokens behind a batch norm, or ``attentive``, a query
            for each label that pools tokens by attention.
        num_classes: Number of classes or tags, or of values of a regression; of each label by name where there are
            several. None takes that of the data.
        head_depth: Number of blocks of an attentive head.
        freeze: Whether the encoder stays as it is, in eval mode, and the head alone is trained.
        layer_decay: Factor on the learning rate from each layer of the encoder to the one before it; 1 trains all of
            them at ``lr``.
        mixup: Alpha of mixup (arXiv 1710.09412), 0 for none.
        cutmix: Alpha of CutMix (arXiv 1905.04899), 0 for none.
        label_smoothing: Share of the target that all classes have alike.
        image_size: Height and width of the views in pixels, or one number for both. None takes that of the checkpoint,
            or 224.
        patch_size: Side of a patch in pixels, for Vision Transformers of this package.
        width: Width of the tokens of a named Vision Transformer, in the place of its own.
        depth: Number of blocks of a named Vision Transformer, in the place of its own.
        heads: Number of attention heads of a named Vision Transformer, in the place of its own.
        stem: First layers of a ResNet: ``cifar`` is for images of about 32 px.
        drop_path: Stochastic depth rate of the last block; it rises linearly from 0.
        crop_scale: Smallest and largest area of a random crop, as a share of the image.
        flip: Probability of a mirrored view; True is one half.
        randaugment: Magnitude of RandAugment with two operations (arXiv 1909.13719), 0 for none; images of 3 channels.
        lr: Learning rate of the head, and of the encoder times ``layer_decay``.
        start_lr: Learning rate of the first step.
        weight_decay: Weight decay of all weights but biases and norms.
        final_weight_decay: Weight decay of the last step; None keeps it constant.
        kwargs: Channels see ``EncoderModule``; optimizer, schedule and compilation as in ``JEPAModule``.

    Raises:
        ValueError: if there is no such encoder, or options do not fit each other.

    Example:
        >>> import torch
        >>> from jepa_lightning import Classifier
        >>> classifier = Classifier("vit_tiny", num_classes=10, depth=1, image_size=32, patch_size=8).eval()
        >>> images = torch.rand(2, 3, 32, 32)
        >>> classifier(images).shape, classifier.forward_features(images).shape
        (torch.Size([2, 10]), torch.Size([2, 16, 192]))
        >>> [tuple(each.shape) for each in classifier.feature_maps(images)]
        [(2, 192, 4, 4)]
    """

    def __init__(
        self,
        encoder: Encoder = "vit_small",
        head: Head = "linear",
        num_classes: PositiveInt | dict[str, PositiveInt] | None = None,
        head_depth: PositiveInt = 1,
        freeze: bool = False,
        layer_decay: PositiveShare = 1.0,
        mixup: NonNegativeFloat = 0.0,
        cutmix: NonNegativeFloat = 0.0,
        label_smoothing: ShareBelowOne = 0.0,
        image_size: ImageSize | None = None,
        patch_size: PositiveInt = 16,
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        heads: PositiveInt | None = None,
        stem: Stem = "default",
        drop_path: ShareBelowOne = 0.0,
        crop_scale: ShareRange = (0.3, 1.0),
        flip: Flip = 0.5,
        randaugment: NonNegativeFloat = 0.0,
        lr: LearningRate = 1e-3,
        start_lr: FinalRate = 1e-5,
        weight_decay: NonNegativeFloat = 0.05,
        final_weight_decay: NonNegativeFloat | None = None,
        **kwargs: Any,
    ) -> None:
        encoder = _opened(encoder, image_size, drop_path)
        saved = encoder if isinstance(encoder, CheckpointEncoder) else None
        if saved is not None:
            _refuse_late_drop_path(saved, drop_path)
            kwargs = {"mean": saved.mean, "std": saved.std, "in_channels": saved.in_channels, **_given(kwargs)}
        super().__init__(
            encoder,
            lr=lr,
            start_lr=start_lr,
            weight_decay=weight_decay,
            final_weight_decay=final_weight_decay,
            **kwargs,
        )
        size = image_size or (saved and saved.image_size) or SIZE
        self.image_size = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.patch_size, self.overrides = patch_size, {"width": width, "depth": depth, "heads": heads}
        # that of a checkpoint is set where its method builds it
        self.stem, self.drop_path = stem, drop_path if saved is None else 0.0
        self.is_frozen, self.layer_decay, self.label_smoothing = freeze, layer_decay, label_smoothing
        self.mixing = LabelMixing(mixup, cutmix)
        self.crop_scale, self.flip, self.randaugment = crop_scale, flip, randaugment
        self.head_kind, self.head_depth = head, head_depth
        self.encoder = build_backbone(self)
        trained = {parameter.requires_grad for parameter in self.encoder.parameters()}
        if freeze:
            self.encoder.requires_grad_(False)
        elif trained == {False}:
            raise ValueError(
                f"freeze is False, and {self.encoder_label} has no weights to train, as the encoder of a model that "
                "was built on a finished run: give the checkpoint of that run, or set freeze to True."
            )
        self.encoder.train(not freeze)  # the target of a checkpoint is in eval mode, without drop path
        if randaugment and (self.in_channels != 3 or getattr(self.encoder, "sampler", None)):
            raise ValueError(
                f"randaugment={randaugment:g} is for images of 3 channels, and the encoder takes "
                f"{'clips' if self.in_channels == 3 else f'{self.in_channels} channels'}: leave randaugment out."
            )
        self.head: ClassifierHead | None = None
        self.labels = ClassifierLabels()
        if num_classes is not None:
            self.build_head(num_classes)

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: options of layers that are frozen, and of heads and patches that are not there."""
        unused = {**super().unused_options(options), **unused_patch(options.get("encoder"))}
        if options.get("freeze"):
            unused |= dict.fromkeys(("layer_decay", "drop_path"), "the encoder is frozen")
        if options.get("head") != "attentive":
            unused["head_depth"] = "only an attentive head has blocks"
        unused["normalize_on_device"] = "its views are normalized by the workers"
        return unused

    def build_head(self, sizes: int | Mapping[str, int]) -> None:
        """Builds the head; called when the number of classes is known.

        Args:
            sizes: numbers of a label, or of each label by name.
        """
        named = {UNNAMED: sizes} if isinstance(sizes, int) else dict(sizes)
        self.hparams["num_classes"] = sizes if isinstance(sizes, int) else named
        self.head = ClassifierHead(self.head_kind, int(self.encoder.width), named, self.head_depth)  # type: ignore[arg-type]

    @property
    def eval_encoder(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def setup(self, stage: str) -> None:
        """Takes the number of classes from the data, where none was given.

        Raises:
            MisconfigurationException: if the data do not say it.
        """
        if self.head is None:
            self.build_head(self._classes_of_data())
        super().setup(stage)

    def _classes_of_data(self) -> int | Mapping[str, int]:
        known: int | Mapping[str, int] | None = getattr(self.trainer.datamodule, "num_classes", None)  # type: ignore[attr-defined]
        if not known:
            raise MisconfigurationException(
                "Classifier needs the number of classes, and the data do not say it: set num_classes "
                "(--model.num_classes), the number of values for a regression, or use labeled data."
            )
        return known

    def pipeline(self) -> Pipeline:
        """Random crops, mirrored or not; clips where the encoder is one of clips."""
        if sampler := getattr(self.encoder, "sampler", None):
            return masked_video_pipeline(
                self.image_size, sampler, (), self.crop_scale, flip=self.flip, mean=self.mean, std=self.std
            )
        steps: list[Any] = [v2.RandomResizedCrop(self.image_size, scale=self.crop_scale, antialias=True)]
        steps += flips(self.flip)
        if self.randaugment:
            steps.append(v2.RandAugment(2, round(self.randaugment)))
        return Pipeline(
            transform=RepeatedView(to_tensor(steps, self.mean, self.std)),
            eval_transform=eval_view(self.image_size, self.mean, self.std),
            collate=Collate(),
        )

    def forward(self, x: Tensor, layers: Sequence[int] | None = None, pool: bool | None = None) -> Any:
        """Outputs of the head, or features of the encoder where ``layers`` or ``pool`` is given.

        Args:
            x: ``[B, C, H, W]`` or ``[B, C, T, H, W]``.
            layers: as in ``JEPAModule.forward``.
            pool: as in ``JEPAModule.forward``.

        Returns:
            Logits, or values in their own units, ``[B, K]``; a dict of them where there are several labels. Or
            features, as ``JEPAModule.forward`` gives them.
        """
        if layers is not None or pool is not None:
            return super().forward(x, layers, pool is not False)
        found = self._restored(self.encoder(x))
        return found[UNNAMED] if list(found) == [UNNAMED] else found

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Losses of all labels, added."""
        assert self.head is not None
        view, shares = self.mixing(batch.views[0]) if self.training else (batch.views[0], None)
        smoothing = self.label_smoothing if self.training else 0.0
        if self.is_frozen:
            with torch.no_grad(), eval_mode(self.encoder):
                tokens = self.encoder(view)
        else:
            tokens = self.encoder(view)
        labels = self.labels.read(batch, self.head.sizes, self.training)
        outputs = self._outputs(tokens)
        loss = torch.stack([each.sum() * 0.0 for each in outputs.values()]).sum()  # of a batch without labels
        for name, target in labels.items():
            kind = self.labels.kinds[name]
            if isinstance(kind, ValueLabel):
                if self.training:
                    self.head.learn_scale(name, target, kind.labeled(target))
                target = self.head.scale(name).standardize(target)
            loss = loss + label_loss(kind, outputs[name].float(), target, shares, smoothing)
        clean = None if shares is not None else tokens.detach()  # features of mixed images have no label
        return StepOutput(loss, None if clean is None else clean.mean(dim=1), {}, tokens=clean)

    def energy(self, batch: Batch) -> Tensor:
        """Squared distance between the outputs for the first and for the last view, ``[B]``."""
        first, last = (torch.cat(list(self._outputs(self.encoder(batch.views[i])).values()), dim=1) for i in (0, -1))
        return (first - last).square().mean(dim=1)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor | None]:
        """Loss and metrics, over all views of a sample."""
        return self._counted(batch, super().validation_step(batch, batch_idx, dataloader_idx))

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor | None]:
        """As in validation."""
        return self._counted(batch, super().test_step(batch, batch_idx, dataloader_idx))

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Features of the encoder as in ``JEPAModule``, and ``outputs`` of the head."""
        return {**super().predict_step(batch, batch_idx, dataloader_idx), "outputs": self(batch.views[0])}

    def on_validation_epoch_start(self) -> None:
        """Starts counting."""
        self.labels.reset()

    def on_test_epoch_start(self) -> None:
        """Starts counting."""
        self.labels.reset()

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics."""
        self.log_dict(self.labels.computed("val"), prog_bar=True)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics."""
        self.log_dict(self.labels.computed("test"))

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """One for each layer where learning rates fall from layer to layer."""
        if self.layer_decay == 1 or self.head is None:
            return super().optimizer_groups()
        return layer_decay_groups(self.encoder, self.head, self.lr, self.layer_decay, self.weight_decay)

    def train(self, mode: bool = True) -> "Classifier":
        """Sets the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    def _counted(self, batch: Batch, given: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
        """Adds the outputs of a batch to the metrics, from the tokens that its step has given where these are all."""
        assert self.head is not None
        labels, tokens = self.labels.read(batch, self.head.sizes, training=False), given["tokens"]
        with torch.no_grad():
            views = [self.encoder(view) for view in batch.views] if labels and tokens is None else [tokens]
            each = [self._restored(view) for view in views if view is not None] if labels else []
        for name, target in labels.items():
            self.labels.count(name, torch.stack([found[name] for found in each]).float(), target)
        return given

    def _restored(self, tokens: Tensor) -> dict[str, Tensor]:
        """Outputs by label, those of values in the unit of the data."""
        outputs = self._outputs(tokens)
        assert self.head is not None
        # as it is, for what is not a value
        return {name: self.head.scale(name).restore(each).to(each.dtype) for name, each in outputs.items()}

    def _outputs(self, tokens: Tensor) -> dict[str, Tensor]:
        if self.head is None:
            raise RuntimeError("this Classifier does not know its classes yet: give num_classes.")
        found: dict[str, Tensor] = self.head(tokens)
        return found


def _opened(encoder: Any, image_size: Any, drop_path: float) -> Any:
    """The network of a checkpoint where one is meant; anything else as it is."""
    if isinstance(encoder, (str, Path)) and Path(encoder).suffix == ".ckpt":
        options = {"image_size": image_size, "drop_path": drop_path or None}
        return CheckpointEncoder.from_checkpoint(encoder, **_given(options))
    if isinstance(encoder, Mapping) and str(encoder.get("class_path", "")).startswith(CheckpointEncoder.__module__):
        return create_encoder(encoder)
    return encoder


def _refuse_late_drop_path(saved: CheckpointEncoder, drop_path: float) -> None:
    """Refuses a rate that comes too late, as that of a network that is built already is its own."""
    own = saved.hparams["options"].get("drop_path", 0.0)
    if drop_path and drop_path != own:
        raise ValueError(
            f"Classifier: drop_path={drop_path} has no effect on an encoder that is built already, with {own}: give it "
            "in the options of that encoder, or give the path of the checkpoint."
        )


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
