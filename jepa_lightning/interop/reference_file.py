"""What is in a file of the reference, or in a folder that is translated to one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.interop.architecture import PATCHES

# axes of the tensors that the form of a network is read from
AXES = {
    PATCHES: (4, 5),
    "blocks.0.mlp.fc1.weight": (2,),
    **dict.fromkeys(("pos_embed", "predictor_pos_embed"), (3,)),
    **{f"predictor_{name}.weight": (2,) for name in ("embed", "embed.0", "embed.2", "proj")},
}
TARGETS = ("target_encoder", "ema_encoder")  # the latter in distilled models of V-JEPA 2.1


@dataclass
class Reference:
    """A file in the form of the reference.

    Args:
        source: as it was given.
        path: of the file.
        family: of the model.
        networks: state dicts by entry, under the names of the reference.
        probes: of attentive probes, each a state dict.
        loop: all else: optimizer, epoch, and so on.
        image_size: of a published file.
        num_frames: of a published file.
        heads: of the encoder, where the file says it.
        predictor_heads: likewise, of the predictor.
        eps: of the norms, where the file says it.
        skipped: what else is there, each with the reason that it is left out.
        alone: its one encoder is not said to be the target or the other.
    """

    source: str
    path: Path
    family: str
    networks: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    probes: list[dict[str, Tensor]] = field(default_factory=list)
    loop: dict[str, Any] = field(default_factory=dict)
    image_size: int | tuple[int, int] | None = None
    num_frames: int | None = None
    heads: int | None = None
    predictor_heads: int | None = None
    eps: float = 1e-6
    skipped: dict[str, str] = field(default_factory=dict)
    alone: bool = False

    def checked(self) -> "Reference":
        """The file itself, if the tensors that tell the form of its networks have the axes of such networks.

        Raises:
            ValueError: with the name of one that has others.
        """
        for entry, state in self.networks.items():
            for name, axes in AXES.items():
                if name in state and state[name].ndim not in axes:
                    raise ValueError(
                        f"cannot use {self.source}: {name} of its {entry} has the shape {list(state[name].shape)}."
                    )
        return self

    def entry(self, which: str) -> tuple[str, dict[str, Tensor]]:
        """The name and the tensors of an entry.

        Raises:
            ValueError: if the file has none, with those that it has.
        """
        names = TARGETS if which == "target_encoder" else (which,)
        for name in (*names, "encoder") if self.alone and which == "target_encoder" else names:
            if name in self.networks:
                return name, self.networks[name]
        has = [*self.networks, *(["probe"] if self.probes else [])]
        raise ValueError(
            f"{self.source} has no {which}: it has {' and '.join(has)}. Give which={has[0]!r}, or another file."
        )
