"""What a command line asks to evaluate, and how data are shown to it."""

from dataclasses import dataclass
from typing import Any

import torch
from jsonargparse import Namespace

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.evaluation.subjects import Subject, untrained
from jepa_lightning.modules import JEPAModule
from jepa_lightning.modules.checkpoint_encoder import module_from_checkpoint


@dataclass
class Shown:
    """Subjects that are shown the same views.

    Attributes:
        module: says how data are shown.
        subjects: the one that is judged first, then baselines.
    """

    module: JEPAModule
    subjects: list[Subject]

    def show(self, data: Namespace) -> None:
        """Has the data give the views of the module.

        Args:
            data: the parsed DataModule, changed in place.

        Raises:
            UsageError: if its samples have other channels or statistics than the module has.
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
        given.mean = given.std = None
        given.pipeline = self.module.pipeline()


def shown_by(options: Namespace, device: torch.device) -> Shown:
    """The subjects of a command line.

    Raises:
        UsageError: if there is none.
        ValueError: if the checkpoint cannot be read, or is of something else.
    """
    if options.ckpt_path is None:
        raise UsageError("there is nothing to evaluate: give --ckpt_path.")
    views = {"eval_clips": options.clips, "eval_crops": options.crops}
    module = module_from_checkpoint(options.ckpt_path, **{k: v for k, v in views.items() if v is not None})
    module = module.to(device).eval().requires_grad_(False)
    subjects = [Subject("checkpoint", module)]
    if options.baselines:
        subjects += [Subject("random", untrained(module, options.seed)), Subject("pixels")]
    return Shown(module, subjects)
