# B batch, C channels, T frames, H W height and width, N tokens, h w of their grid, D width
"""What is evaluated: the frozen encoder of a module, or the pixels themselves."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from jepa_lightning.checkpoints import class_path
from jepa_lightning.features import as_pixels, encode, eval_mode
from jepa_lightning.modules import JEPAModule
from jepa_lightning.modules.checkpoint_encoder import method_options
from jepa_lightning.modules.dense_features import joinable_layers
from jepa_lightning.modules.frame_states import FrameStates
from jepa_lightning.nn.patchify import patchify
from jepa_lightning.nn.token_maps import token_grid

LAST, JOINED, PIXELS = "last", "last4", "pixels"  # names of kinds of features


@dataclass
class Subject:
    """Features of samples.

    Attributes:
        name: ``checkpoint``, ``random``, ``pixels``, or that of a network.
        module: whose ``eval_encoder`` gives them; None for pixels.
        patch: side of a patch of pixels, which stands in for a token.
    """

    name: str
    module: JEPAModule | None = None
    patch: int = 8
    _layers: list[int] | None = field(default=None, repr=False)  # that are joined; none where there are not several

    @torch.no_grad()
    def features(self, views: Sequence[Tensor]) -> dict[str, Tensor]:
        """Pooled features ``[B, D]`` by kind, averaged over the views of each sample.

        ``last`` is what the module gives, ``last4`` the last four blocks (or as many as there are) side by side.
        Source: I-JEPA (arXiv 2301.08243), appendix A.2.
        """
        if self.module is None:
            return {PIXELS: as_pixels(views[0])}
        device = self.module.device
        moved = [view.to(device, non_blocking=True) for view in views]
        with eval_mode(self.module):
            found = {LAST: encode(self.module, moved, pool=True)}
            if self._layers is None:
                tried = moved[0][:1]
                if tried.ndim == 5 and isinstance(self.module, FrameStates):  # whose encoder takes frames
                    tried = tried.transpose(1, 2).flatten(0, 1)
                self._layers = joinable_layers(self.module.eval_encoder, tried)
            if self._layers:
                found[JOINED] = encode(self.module, moved, layers=self._layers, pool=True)
        return {name: values.float().cpu() for name, values in found.items()}

    @torch.no_grad()
    def tokens(self, views: Sequence[Tensor]) -> Tensor:
        """Tokens of all views side by side, ``[B, N, D]``, in half precision; patches of pixels without a module."""
        if self.module is None:
            return _patches(views[0], self.patch).half()
        with eval_mode(self.module):
            return encode(self.module, [view.to(self.module.device) for view in views], pool=False).half().cpu()

    def grid(self, view: Tensor, tokens: int) -> tuple[int, ...]:
        """Rows and columns of the tokens of a view, and before these the tubelets of a clip.

        Args:
            view: ``[B, C, H, W]``, or ``[B, C, T, H, W]``.
            tokens: N.

        Raises:
            ValueError: if they are on no grid.
        """
        if self.module is None:
            return (*view.shape[2:-2], view.shape[-2] // self.patch, view.shape[-1] // self.patch)
        found = token_grid(self.module.eval_encoder, view, tokens)
        return found if view.ndim == 5 else found[-2:]  # an encoder of clips may be shown an image

    def fingerprint(self) -> str:
        """A hash of the method, its options and the weights that features come from; pixels have none."""
        digest = hashlib.sha256(f"{self.name} {self.patch}".encode() if self.module is None else b"")
        if self.module is not None:
            # such as the number of heads, which does not show in the weights
            options = {"method": class_path(type(self.module)), **method_options(self.module)}
            digest.update(json.dumps(options, sort_keys=True, default=lambda value: type(value).__name__).encode())
            for name, tensor in self.module.eval_encoder.state_dict().items():
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _patches(view: Tensor, side: int) -> Tensor:
    """Patches of an image, or those of all frames of a clip side by side."""
    if view.ndim == 4:
        return patchify(view, side)
    frames = patchify(view.transpose(1, 2).flatten(0, 1), side)  # [B * T, h * w, D]
    return frames.reshape(len(view), -1, frames.shape[2])


def untrained(module: JEPAModule, seed: int) -> JEPAModule:
    """A module with the same options and the weights that training starts from.

    Args:
        module: any method.
        seed: of the weights.
    """
    with isolate_rng():
        torch.manual_seed(seed)
        fresh = type(module)(**method_options(module))
    return fresh.to(module.device).eval().requires_grad_(False)
