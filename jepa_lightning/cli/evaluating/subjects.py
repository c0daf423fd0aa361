"""What a command line asks to evaluate, and how data are shown to it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jsonargparse import Namespace

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.data.pipelines import Pipeline, eval_view
from jepa_lightning.data.videos.clips import ClipView
from jepa_lightning.evaluation.propagation import whole_video_pipeline
from jepa_lightning.evaluation.protocols import DENSE, PROPAGATION
from jepa_lightning.evaluation.subjects import PIXELS, Subject, untrained
from jepa_lightning.modules import Classifier, JEPAModule
from jepa_lightning.modules.checkpoint_encoder import module_from_checkpoint
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
                f"{dense[0]} is shown images, and {type(self.module).__name__} takes clips for the other protocols: "
                "give it in a call of its own."
            )
        module: Any = self.module
        view = eval_view(module.image_size, module.mean, module.std)
        return Pipeline(view, view)


def shown_by(options: Namespace, device: torch.device) -> Shown:
    """The subjects of a command line.

    Raises:
        UsageError: if there is none, or there are two.
        ValueError: if the checkpoint cannot be read, is of something else, or there is no such network.
    """
    path, encoder = options.ckpt_path, options.encoder
    if path is None and encoder is None:
        raise UsageError("there is nothing to evaluate: give --ckpt_path, or --encoder timm:NAME, random or pixels.")
    if path is not None and encoder not in (None, RANDOM, PIXELS):
        raise UsageError(f"--ckpt_path has an encoder, and --encoder {encoder} is another one: leave one of them out.")
    module = _opened(options).to(device).eval().requires_grad_(False)
    own = _pixels(module) if encoder == PIXELS else Subject(encoder or "checkpoint", module)
    if encoder == RANDOM:
        own.module = untrained(module, options.seed)
    baselines = [Subject(RANDOM, untrained(module, options.seed)), _pixels(module)] if options.baselines else []
    return Shown(module, [own, *(each for each in baselines if each.name != encoder)])


def _pixels(module: JEPAModule) -> Subject:
    """Pixels, in patches as large as those of a module."""
    patch = getattr(module.eval_encoder, "patch", None)
    return Subject(PIXELS, patch=patch[-1] if patch else Subject.patch)


def _opened(options: Namespace) -> JEPAModule:
    """The module that says how data are shown, and whose encoder may be judged."""
    if options.ckpt_path is not None:
        module = module_from_checkpoint(options.ckpt_path)
        asked = {name: each for name, each in (("eval_clips", options.clips), ("eval_crops", options.crops)) if each}
        if not asked:
            return module
        if not asked.keys() <= module.hparams.keys():
            raise UsageError(
                f"--clips and --crops are for a checkpoint of clips, such as one of VJEPA, and {options.ckpt_path} is "
                f"of {type(module).__name__}: leave them out."
            )
        return module_from_checkpoint(options.ckpt_path, **asked)
    if options.clips or options.crops:
        raise UsageError("--clips and --crops are for a checkpoint of clips: leave them out.")
    of_timm = str(options.encoder).startswith(PREFIX)
    name = options.encoder if of_timm else "vit_small"
    if not of_timm and options.encoder not in (RANDOM, PIXELS):
        raise UsageError(f"there is no --encoder {options.encoder}: give timm:NAME, random or pixels.")
    return Classifier(name, num_classes=1, image_size=options.image_size, pretrained=of_timm)
