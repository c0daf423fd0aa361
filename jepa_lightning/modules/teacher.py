# D width
"""A frozen teacher, whose tokens a smaller encoder learns to predict.

Source: V-JEPA 2.1 (arXiv 2603.14482), distillation.
"""

from typing import Any

from torch import nn

from jepa_lightning.modules.frame_encoder import is_frozen, opened
from jepa_lightning.modules.frozen_encoder import FrozenEncoder
from jepa_lightning.nn.encoder_spec import Encoder, create_encoder


def open_teacher(teacher: Encoder | None) -> FrozenEncoder | None:
    """The frozen encoder of a finished run.

    Args:
        teacher: a checkpoint, a ``FrozenEncoder``, or the dict of one, which checkpoints hold.

    Raises:
        ValueError: if it is none of these.
    """
    if teacher is None:
        return None
    found = opened(teacher)
    if isinstance(found, dict) and is_frozen(found):
        found = create_encoder(found)
    if not isinstance(found, FrozenEncoder):
        raise ValueError(
            f"teacher={teacher!r} is no finished run: give a checkpoint (*.ckpt) of a method of this package, or its "
            "FrozenEncoder."
        )
    return found


def with_statistics(teacher: FrozenEncoder | None, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a student, whose pixels are normalized as its teacher's.

    Args:
        teacher: None changes nothing.
        options: ``in_channels``, ``mean`` and ``std`` among others, as far as they are given.

    Raises:
        ValueError: if they are given, and not those of the teacher.
    """
    if teacher is None:
        return options
    own = {"in_channels": teacher.in_channels, "mean": tuple(teacher.mean), "std": tuple(teacher.std)}
    for name, value in own.items():
        given = options.get(name)
        if given is not None and (tuple(given) if isinstance(given, (list, tuple)) else given) != value:
            raise ValueError(f"{name} is {given}, and the teacher's is {value}: leave it out.")
    return {**options, **own}


def check_teacher(teacher: FrozenEncoder, student: nn.Module) -> None:
    """Refuses a teacher whose tokens stand elsewhere than the student's.

    Args:
        teacher: whose tokens are predicted.
        student: the encoder that learns.

    Raises:
        ValueError: if their patches, or whether they tell images from clips, differ.
    """
    for name, what in (("patch", "patches of"), ("images", "images=")):
        own, other = getattr(student, name, None), getattr(teacher.network, name, None)
        if None not in (own, other) and own != other:
            raise ValueError(f"the teacher has {what} {other}, and the student {own}: give the student the teacher's.")
