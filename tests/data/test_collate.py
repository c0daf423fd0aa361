from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from jepa_lightning.data.collate import Collate
from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.types import Sample

MASKS = MultiBlockMask((4, 4), min_keep=1)
IMAGES = [torch.full((3, 8, 8), float(i)) for i in range(3)]


def test_collate_takes_bare_images() -> None:
    batch = Collate()(IMAGES)
    assert torch.equal(batch.views[0], torch.stack(IMAGES))
    assert (batch.masks, batch.labels, batch.paths) == ((), None, ("", "", ""))


def test_collate_takes_images_with_labels() -> None:
    batch = Collate()([(image, torch.tensor(i) if i else i) for i, image in enumerate(IMAGES)])
    assert isinstance(batch.labels, Tensor)
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [0, 1, 2]


def test_collate_takes_lists_of_views_of_different_sizes() -> None:
    batch = Collate()([([image, image + 1, image[:, :4, :4]], None, f"{i}.png") for i, image in enumerate(IMAGES)])
    assert [tuple(view.shape) for view in batch.views] == [(3, 3, 8, 8), (3, 3, 8, 8), (3, 3, 4, 4)]
    assert torch.equal(batch.views[1], torch.stack(IMAGES) + 1)
    assert batch.labels is None
    assert batch.paths == ("0.png", "1.png", "2.png")


def test_collate_stacks_labels_of_every_kind() -> None:
    labels = [{"shape": 1, "size": 0.5}, None, {"shape": 3, "parts": [0, 1]}]
    batch = Collate()(list(zip(IMAGES, labels, strict=True)))
    assert isinstance(batch.labels, dict)
    assert batch.labels["shape"].tolist() == [1, -1, 3]
    assert batch.labels["size"].isnan().tolist() == [False, True, True]
    assert batch.labels["parts"].tolist() == [[-1, -1], [-1, -1], [0, 1]]


def test_there_is_a_path_for_each_sample() -> None:
    batch = Collate()([(IMAGES[0], 0, "a.png"), (IMAGES[1], 1, None), (IMAGES[2], 1, Path("b/c.png"))])
    assert batch.paths == ("a.png", "", str(Path("b/c.png")))


@pytest.mark.parametrize("path", [{"id": 3}, 7, torch.zeros(2), b"a.png", ["a.png"]])
def test_a_third_part_that_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match=rf"third part of a sample is its path.* is {type(path).__name__} in"):
        Collate()([(IMAGES[0], 0, path)])


@pytest.mark.parametrize("rest", [(torch.zeros(4),), (None,), ("view", 3)])
def test_parts_that_nobody_reads_are_refused(rest: Any) -> None:
    with pytest.raises(ValueError, match=r"a sample has [45] parts, \(Tensor, int, str, .*: drop the others"):
        Collate()([(IMAGES[0], 0, "a.png", *rest)])


def test_collate_draws_one_set_of_masks_a_sampler_from_the_global_generator() -> None:
    collate = Collate((MASKS, MultiBlockMask((4, 4), min_keep=1, num_targets=2)))
    torch.manual_seed(0)
    batch = collate(IMAGES)
    torch.manual_seed(0)
    expected = MASKS(3)
    assert torch.equal(batch.masks[0].context, expected.context)
    assert torch.equal(batch.masks[0].target, expected.target)
    assert batch.masks[1].target.shape[:2] == (3, 2)


@pytest.mark.parametrize(
    ("sample", "form"),
    [
        (Image.new("RGB", (8, 8)), r"\(Image\)"),
        ((Image.new("RGB", (8, 8)), 3), r"\(Image, int\)"),
        ({"image": IMAGES[0]}, r"\(dict\)"),
        ([], r"\(list\)"),
    ],
)
def test_a_sample_of_the_wrong_form_says_which_and_what_to_do(sample: Any, form: str) -> None:
    with pytest.raises(TypeError, match=rf"not {form}: give the data set .* module.pipeline\(\).transform"):
        Collate()([sample])


def test_images_of_different_sizes_say_which_and_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4, 4\).* and .*\(3, 8, 8\).*module.pipeline\(\).transform"):
        Collate()([IMAGES[0], IMAGES[1][:, :4, :4]])


def test_samples_have_extras_and_plain_tuples_do_not() -> None:
    extras = [{"states": torch.full((2, 1), float(i))} for i in range(3)]
    batch = Collate()([Sample(image, 3, "a", extra) for image, extra in zip(IMAGES, extras, strict=True)])
    assert batch.extras["states"].shape == (3, 2, 1)
    assert batch.extras["states"][:, 0, 0].tolist() == [0, 1, 2]
    assert (batch.labels.tolist(), batch.paths) == ([3] * 3, ("a",) * 3)
    assert Collate()([Sample(image) for image in IMAGES]).extras == {}
    with pytest.raises(ValueError, match=r"with and without the extra\(s\) states"):
        Collate()([(IMAGES[0], 3), Sample(IMAGES[1], 3, None, extras[1])])
