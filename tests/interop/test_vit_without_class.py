"""Vision Transformers of `transformers` without their class token."""

from pathlib import Path

import pytest
import torch

from jepa_lightning.interop.fitting import NotLikeError
from jepa_lightning.interop.huggingface_vit_reader import HuggingFaceViT
from jepa_lightning.interop.vit_without_class import WITHOUT, without_class_token

WEIGHTS = {
    "cls_token": torch.ones(1, 1, 4),
    "pos_embed": torch.arange(28.0).reshape(1, 7, 4),
    "norm.bias": torch.ones(4),
}


def found(**more: torch.Tensor) -> HuggingFaceViT:
    weights = {**WEIGHTS, **{name.replace("_dot_", "."): value for name, value in more.items()}}
    return HuggingFaceViT(weights, {"classifier.bias": "a head"}, (16, 24), 8, 2, 1e-12, {})


def test_patches_keep_their_positions() -> None:
    given = found()
    reference = without_class_token(given, Path("given"))
    state = reference.networks["encoder"]
    assert state.keys() == {"pos_embed", "norm.bias"}
    assert torch.equal(state["pos_embed"], WEIGHTS["pos_embed"][:, 1:])
    assert (reference.source, reference.path, reference.family) == ("given", Path("given"), "ijepa")
    assert (reference.image_size, reference.heads, reference.eps, reference.alone) == ((16, 24), 2, 1e-12, True)
    assert reference.skipped == {"classifier.bias": "a head", "cls_token": WITHOUT}
    assert given.weights.keys() == WEIGHTS.keys()
    assert given.skipped == {"classifier.bias": "a head"}


@pytest.mark.parametrize(
    ("name", "part"), [("reg_token", "register tokens"), ("blocks_dot_0_dot_ls1_dot_gamma", "LayerScale")]
)
def test_parts_that_named_sizes_do_not_take(name: str, part: str) -> None:
    with pytest.raises(NotLikeError, match=rf"^given has {part}, which encoders of named sizes do not take"):
        without_class_token(found(**{name: torch.ones(1)}), Path("given"))
