"""What a command line asks to evaluate, and how data are shown to it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch.utilities.seed import isolate_rng

from jepa_lightning.checkpoints import class_path
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.named_class import named_method, named_network
from jepa_lightning.data.pipelines import Pipeline, eval_view
from jepa_lightning.data.videos.clips import ClipView
from jepa_lightning.data.videos.image_or_clip import ImageOrClipView
from jepa_lightning.evaluation.propagation import whole_video_pipeline
from jepa_lightning.evaluation.protocols import DENSE, PROPAGATION
from jepa_lightning.evaluation.subjects import PIXELS, Subject, untrained
from jepa_lightning.modules import Classifier, JEPAModule
from jepa_lightning.modules.checkpoint_encoder import UnknownMethodError, module_from_checkpoint
from jepa_lightning.nn.timm_model import PREFIX

RANDOM = "random"


@dataclass
class Shown:
    """Subjects that are shown the same views.

    Attributes:
        module: says how data are shown.
        subjects: the one that is judged first, then baselines.
    """

    module: JEPAModule
    subjects: list[Subject]

    def show(self, data: Namespace, plain: Namespace, protocols: Collection[str]) -> None:
        """Has the data give the views of the module.

        Args:
            data: the parsed DataModule, changed in place.
            plain: the same, left without statistics: a module that trains has its own.
            protocols: that views are for.

        Raises:
            UsageError: if its samples have other channels or statistics than the module has, or the protocols are to be
                shown different views.
        """
        given: Any = data.init_args
        if given.pipeline is not None:
            raise UsageError("data are shown as the encoder asks for: leave --data.pipeline out.")
        own = {"in_channels": getattr(self.module, "in_channels", None)}
        own |= {name: list(getattr(self.module, name, None) or ()) for name in ("mean", "std")}
        for name, value in own.items():
            asked = given.get(name)
            if asked is not None and (list(asked) if name != "in_channels" else asked) != value:
                raise UsageError(
                    f"--data.{name} is {asked}, and the checkpoint was trained with {value}: leave it out."
                )
        given.mean = given.std = plain.init_args.mean = plain.init_args.std = None
        given.pipeline = self._pipeline(protocols)

    def _pipeline(self, protocols: Collection[str]) -> Pipeline:
        if PROPAGATION in protocols:
            return whole_video_pipeline(self.module)
        pipeline, dense = self.module.pipeline(), [name for name in protocols if name in DENSE]
        if not (dense and isinstance(pipeline.eval_transform, ClipView)):
            return pipeline
        if len(dense) < len(protocols):
            raise UsageError(
                f"{dense[0]} shows {type(self.module).__name__} the images of data of images, and other protocols show "
                "it clips: give it in a call of its own."
            )
        module: Any = self.module
        view = ImageOrClipView(eval_view(module.image_size, module.mean, module.std), pipeline.eval_transform)
        return Pipeline(view, view)


def shown_by(options: Namespace, device: torch.device) -> Shown:
    """The subjects of a command line.

    Raises:
        UsageError: if there is none, or there are two.
        ValueError: if the checkpoint cannot be read, is of something else, or there is no such network.
    """
    path, encoder = options.ckpt_path, options.encoder
    if path is None and encoder is None:
        raise UsageError(
            "there is nothing to evaluate: give --ckpt_path, or --encoder timm:NAME, random, pixels or my.Encoder."
        )
    if path is not None and encoder not in (None, RANDOM, PIXELS) and not _is_own(encoder):
        raise UsageError(f"--ckpt_path has an encoder, and --encoder {encoder} is another one: leave one of them out.")
    if path is None and options.model is not None:
        raise UsageError("--model is the class of a checkpoint: give --ckpt_path too, or leave --model out.")
    module = (_checkpoint(options) if path else _without_checkpoint(options)).to(device).eval().requires_grad_(False)
    named = encoder is not None and not (path and _is_own(encoder))
    own = _pixels(module) if encoder == PIXELS else Subject(encoder if named else "checkpoint", module)
    if encoder == RANDOM:
        own.module = untrained(module, options.seed)
    return Shown(module, [own, *(each for each in _baselines(options, module) if each.name != encoder)])


def _baselines(options: Namespace, module: JEPAModule) -> list[Subject]:
    """Random weights and pixels, where they are asked for."""
    if not options.baselines:
        return []
    # a class of the user's may load weights where it is built, so that another one of it is no baseline
    draws = options.ckpt_path is not None or not _is_own(options.encoder)
    drawn = [Subject(RANDOM, untrained(module, options.seed))] if draws else []
    return [*drawn, _pixels(module)]


def _pixels(module: JEPAModule) -> Subject:
    """Pixels, in patches as large as those of a module."""
    patch = getattr(module.eval_encoder, "patch", None)
    return Subject(PIXELS, patch=patch[-1] if patch else Subject.patch)


def _checkpoint(options: Namespace) -> JEPAModule:
    """The module of a checkpoint."""
    path, asked = options.ckpt_path, _several(options)
    # what is named here is imported, so that the checkpoint may be of it
    cls = None if options.model is None else named_method(options.model)
    network = named_network(options.encoder) if _is_own(options.encoder) else None
    try:
        module = module_from_checkpoint(path)
    except UnknownMethodError as error:
        raise UsageError(
            f"{path} is of the class {error.path}, which a checkpoint does not get imported: give --model {error.path}."
        ) from error
    if cls is not None and not isinstance(module, cls):
        raise UsageError(f"--model is {options.model}, and {path} is of {class_path(type(module))}: leave --model out.")
    if network is not None and not isinstance(module.eval_encoder, network):
        raise UsageError(f"--encoder is {options.encoder}, and the encoder of {path} is another one: leave it out.")
    if not asked:
        return module
    if not asked.keys() <= module.hparams.keys():
        raise UsageError(
            f"--clips and --crops are for a checkpoint of clips, such as one of VJEPA, and {path} is of "
            f"{type(module).__name__}: leave them out."
        )
    return module_from_checkpoint(path, **asked)


def _several(options: Namespace) -> dict[str, int]:
    """How many clips and crops of a video are asked for."""
    return {name: each for name, each in (("eval_clips", options.clips), ("eval_crops", options.crops)) if each}


def _without_checkpoint(options: Namespace) -> JEPAModule:
    """A classifier on the network that a command line names, which says how data are shown."""
    name = str(options.encoder)
    if _several(options):
        raise UsageError("--clips and --crops are for a checkpoint of clips: leave them out.")
    if _is_own(name):
        return _own_network(name, options)
    of_timm = name.startswith(PREFIX)
    if not of_timm and name not in (RANDOM, PIXELS):
        raise UsageError(f"there is no --encoder {name}: give timm:NAME, random, pixels or my.Encoder.")
    return Classifier(
        name if of_timm else "vit_small", num_classes=1, image_size=options.image_size, pretrained=of_timm
    )


def _is_own(encoder: str | None) -> bool:
    """Whether an encoder is the path of a class."""
    return encoder is not None and "." in encoder and not encoder.startswith(PREFIX)


def _own_network(path: str, options: Namespace) -> JEPAModule:
    """A classifier on a network of the user's, with the weights that it has when it is built."""
    named_network(path)
    with isolate_rng():
        torch.manual_seed(options.seed)
        try:
            return Classifier({"class_path": path, "init_args": {}}, num_classes=1, image_size=options.image_size)
        except TypeError as error:  # arguments without a default
            raise UsageError(f"--encoder {path} cannot be built without arguments ({error}).") from error
