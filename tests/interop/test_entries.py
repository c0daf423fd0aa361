from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.interop.entries import check_which, open_reference, without_prefixes

IMAGES, CLIPS = torch.ones(4, 3, 2, 2), torch.ones(4, 3, 2, 2, 2)
TABLE = {"pos_embed": torch.ones(1, 4, 4)}


def tokens(number: int) -> dict[str, Tensor]:
    return {f"mask_tokens.{i}": torch.ones(1, 1, 4) for i in range(number)}


def opened(tmp_path: Path, content: Any, name: str = "a.pt", **options: Any) -> Any:
    torch.save(content, tmp_path / name)
    return open_reference(tmp_path / name, **options)


def test_what_wrappers_have_put_before_names_is_taken_away() -> None:
    state = {"module.backbone.norm.bias": torch.ones(1), "blocks.0.module.a": torch.ones(2), "b": torch.ones(3)}
    assert {name: len(value) for name, value in without_prefixes(state).items()} == {
        "norm.bias": 1, "blocks.0.a": 2, "b": 3,
    }  # fmt: skip


def test_no_tensor_takes_the_place_of_another() -> None:
    with pytest.raises(ValueError, match=r"^the weights have norm\.bias twice, under other prefixes\.$"):
        without_prefixes({"module.norm.bias": torch.ones(1), "backbone.norm.bias": torch.ones(2)})


PATCHES = "module.patch_embed.proj.weight"
FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "images": ({"encoder": {PATCHES: IMAGES, **TABLE}}, "ijepa"),
    "one mask token": ({"encoder": {PATCHES: CLIPS, **TABLE}, "predictor": {"mask_token": IMAGES}}, "ijepa"),
    "two mask tokens": ({"encoder": {PATCHES: CLIPS, **TABLE}, "predictor": tokens(2)}, "vjepa"),
    "ten mask tokens": ({"encoder": {PATCHES: CLIPS, **TABLE}, "predictor": tokens(10)}, "vjepa2"),
    "no table": ({"target_encoder": {PATCHES: CLIPS}}, "vjepa2"),
    "actions": ({"encoder": {PATCHES: CLIPS}, "predictor": {"action_encoder.weight": IMAGES}}, "vjepa2_ac"),
    "levels": ({"ema_encoder": {PATCHES: CLIPS, "norms_block.0.weight": IMAGES}}, "vjepa2_1"),
    "probe": ({"classifier": {"module.pooler.query_tokens": IMAGES}}, "vjepa"),
    "deep probe": ({"classifiers": [{"module.pooler.blocks.0.a": IMAGES}]}, "vjepa2"),
}


@pytest.mark.parametrize("case", FAMILIES)
def test_the_family_is_told_by_the_tensors(case: str, tmp_path: Path) -> None:
    content, family = FAMILIES[case]
    assert opened(tmp_path, content).family == family
    assert opened(tmp_path, content, family="vjepa").family == "vjepa"


def test_what_tensors_leave_open_is_said_by_the_name_of_a_published_file(tmp_path: Path) -> None:
    content = {"encoder": {PATCHES: CLIPS, **TABLE}}
    with pytest.raises(ValueError, match=r"a\.pt may be of V-JEPA.*give family='vjepa' or family='vjepa2'"):
        opened(tmp_path, content)
    found = opened(tmp_path, content, "vitl16.pth.tar")
    assert (found.family, found.image_size, found.num_frames) == ("vjepa", 224, 16)
    other = opened(tmp_path, {"encoder": {PATCHES: IMAGES}}, "vitl16.pth.tar")  # a file that was renamed
    assert (other.family, other.image_size) == ("ijepa", None)


def test_entries_are_networks_probes_and_what_belongs_to_training(tmp_path: Path) -> None:
    probe = {"module.linear.bias": torch.ones(2)}
    content = {"encoder": {PATCHES: IMAGES}, "classifiers": [probe, probe], "epoch": 3, "lr": 0.5}
    found = opened(tmp_path, content)
    assert [*found.networks] == ["encoder"]
    assert [[*each] for each in found.probes] == [["linear.bias"]] * 2
    assert found.loop == {"epoch": 3, "lr": 0.5}
    assert not found.alone
    with pytest.raises(ValueError, match="has no target_encoder: it has encoder and probe"):
        found.entry("target_encoder")


def test_a_state_dict_alone_is_an_encoder_and_the_target_too(tmp_path: Path) -> None:
    found = opened(tmp_path, {PATCHES: IMAGES})
    assert found.alone
    assert found.entry("target_encoder")[0] == found.entry("encoder")[0] == "encoder"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "it holds no dict of networks"),
        ([1], "it holds no dict of networks"),
        ({"epoch": 3}, "it holds epoch, and no network"),
        ({"classifiers": []}, "it holds classifiers, and no network"),
        ({"encoder": {}}, "its entry encoder holds no weights"),
        ({"encoder": {"a": IMAGES}, 7: 1}, "it holds 7, which no file of the reference has. Those have encoder,"),
        ({"state_dict": {"a": IMAGES}}, "is loaded with load_from_checkpoint or from_pretrained"),
    ],
)
def test_other_content_is_refused_in_one_line(content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        opened(tmp_path, content)


def test_names_that_there_are_not(tmp_path: Path) -> None:
    check_which("probe")
    with pytest.raises(
        ValueError, match="there is no entry 'teacher': choose one of target_encoder, encoder, predictor"
    ):
        check_which("teacher")
    with pytest.raises(ValueError, match="there is no family 'jepa'"):
        open_reference(tmp_path / "none.pt", family="jepa")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.pt"):
        open_reference(tmp_path / "none.pt")
