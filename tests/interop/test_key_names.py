"""Names of tensors come from files, and may be anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.interop.key_names import number_behind
from jepa_lightning.interop.start import start_from_

STRANGE = ("x", "", "-1", "+1", "1_0", " 1", "01", "²", "٣", "9" * 5000)


def test_the_number_behind_the_start_of_a_name() -> None:
    assert number_behind("blocks.", "blocks.12.norm1.weight") == 12
    assert number_behind("blocks.", "blocks.0") == 0
    for name in ("block.1", "blocks", "head.blocks.1", "blocks.1x", *(f"blocks.{part}.bias" for part in STRANGE)):
        assert number_behind("blocks.", name) is None


@pytest.mark.parametrize("part", STRANGE)
@pytest.mark.parametrize(
    ("network", "name"),
    [("encoder", "norms_block.{}.weight"), ("predictor", "mask_tokens.{}"), ("predictor", "mask_tokens.0.{}")],
)
def test_a_name_without_a_number_is_unexpected(
    network: str, name: str, part: str, ijepa: IJEPA, reference_file: Callable[..., Path]
) -> None:
    path, name = reference_file(ijepa, "ijepa"), name.format(part)
    content = torch.load(path)
    content[network][f"module.{name}"] = torch.zeros(48)
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"^\S.*$") as error:
        start_from_(IJEPA(**dict(ijepa.hparams)), str(path))
    assert name in str(error.value)
    assert str(path) in str(error.value)


def test_a_depth_needs_no_numbers(reference_file: Callable[..., Path]) -> None:
    options: dict[str, Any] = {
        "encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "patch_size": 8, "image_size": 32,
        "num_frames": 8, "min_keep": 2, "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "rope": True,
        "rope_grid": 16, "levels": (0, 1),
    }  # fmt: skip
    module = VJEPA(**options)
    path = reference_file(module, "vjepa2_1")
    content = torch.load(path)
    for network in ("encoder", "target_encoder"):
        content[network]["module.backbone.blocks.x.norm1.weight"] = torch.zeros(48)
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"blocks\.x\.norm1\.weight"):
        VJEPA.from_pretrained(path, heads=3, levels=(0, 1), image_size=32, num_frames=8, predictor_heads=3, min_keep=2)
