import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest
import torch
from scipy import ndimage
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset

from jepa_lightning.data.procedural.drawing import SHAPES
from jepa_lightning.data.procedural.shapes import SHAPES_CLASS_NAMES, ShapesDataModule, ShapesDataset

BYTES_OF_64_SCENES = "86bf6282659116b63e53da9022082500e6f898043069d9531046956472527fd8"


def scenes(count: int, **options: int) -> tuple[torch.Tensor, list[dict[str, int]]]:
    dataset = ShapesDataset(count, **options)
    images, labels, _ = zip(*(dataset[i] for i in range(count)), strict=True)
    return torch.stack(images), list(labels)


def digest() -> str:
    return hashlib.sha256(scenes(64)[0].numpy().tobytes()).hexdigest()


def foreground(image: torch.Tensor, share: float = 0.5) -> torch.Tensor:
    """Pixels that an object on a plain background covers to more than a share."""
    contrast = (image.float() - image[:, :1, :1]).abs().amax(0)
    return contrast > contrast.max() * share


@pytest.fixture(scope="module")
def plain() -> list[tuple[torch.Tensor, dict[str, int]]]:
    """Scenes on a plain background, where objects are found by their color; large ones for exact measures."""
    dataset = ShapesDataset(600, image_size=128)
    chosen = [dataset[i][:2] for i in range(len(dataset))]
    return [
        (image, labels) for image, labels in chosen if SHAPES_CLASS_NAMES["background"][labels["background"]] == "plain"
    ]


def test_images_are_uint8_rgb_of_the_size_asked_for() -> None:
    image, labels, path = ShapesDataset(3, image_size=40)[2]
    assert image.dtype == torch.uint8
    assert image.shape == (3, 40, 40)
    assert labels.keys() == SHAPES_CLASS_NAMES.keys()
    assert path is None


def test_labels_are_there_without_the_scene() -> None:
    dataset = ShapesDataset(20, image_size=16, seed=3, offset=7)
    assert [dataset.labels(i) for i in range(20)] == [dataset[i][1] for i in range(20)]
    with pytest.raises(IndexError, match="scene 20 of 20"):
        dataset.labels(20)


def test_scenes_have_the_same_bytes_everywhere() -> None:
    assert digest() == BYTES_OF_64_SCENES


@pytest.mark.slow
def test_scenes_do_not_depend_on_the_processor() -> None:
    """Torch's kernels without vector instructions, in a process of their own."""
    run = subprocess.run(
        [sys.executable, "-c", "from tests.data.procedural.test_shapes import digest; print(digest())"],
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": os.pathsep.join([".", *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == BYTES_OF_64_SCENES


def test_scenes_follow_from_seed_and_index_alone() -> None:
    first, _ = scenes(4)
    assert torch.equal(ShapesDataset(2, offset=2)[1][0], first[3])
    assert not torch.equal(ShapesDataset(4, seed=1)[3][0], first[3])
    state = torch.get_rng_state()
    ShapesDataset(1)[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_an_index_outside_ends_iteration() -> None:
    assert len(list(ShapesDataset(3))) == 3
    with pytest.raises(IndexError, match="scene 3 of 3"):
        ShapesDataset(3)[3]


def test_labels_are_drawn_evenly_and_apart_from_each_other() -> None:
    _, labels = scenes(4000, image_size=8)
    for name, classes in SHAPES_CLASS_NAMES.items():
        counts = Counter(label[name] for label in labels)
        assert set(counts) == set(range(len(classes)))
        assert min(counts.values()) > 0.75 * len(labels) / len(classes)
    shapes = torch.nn.functional.one_hot(torch.tensor([label["shape"] for label in labels])).float()
    for name in SHAPES_CLASS_NAMES.keys() - {"shape"}:
        other = torch.nn.functional.one_hot(torch.tensor([label[name] for label in labels])).float()
        joint, expected = shapes.T @ other, shapes.sum(0)[:, None] * other.sum(0) / len(labels)
        # chi-square over its degrees of freedom is 1 for independent labels
        freedom = (joint.shape[0] - 1) * (joint.shape[1] - 1)
        assert ((joint - expected) ** 2 / expected).sum() / freedom < 2


def test_objects_are_as_many_as_the_label_says_and_lie_inside(plain: list[tuple[torch.Tensor, dict[str, int]]]) -> None:
    assert len(plain) > 50
    for image, labels in plain:
        # each object is one piece; a fifth keeps thin tips with the rest
        pieces = ndimage.label(foreground(image, 0.2), structure=torch.ones(3, 3))[0]
        areas = torch.bincount(torch.from_numpy(pieces).flatten())[1:]
        # the last pixel of a crescent's tip may stand by itself
        assert (areas > 1).sum() == labels["count"] + 1
        mask = foreground(image)
        assert not torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


def test_the_largest_object_lies_in_the_cell_and_has_the_size_of_its_labels(
    plain: list[tuple[torch.Tensor, dict[str, int]]],
) -> None:
    names = list(SHAPES)
    for image, labels in plain:
        # the centroid is the center, and the farthest point at the radius, of these
        if names[labels["shape"]] not in ("disc", "ring", "square", "cross", "star"):
            continue
        pieces, _ = ndimage.label(foreground(image), structure=torch.ones(3, 3))
        areas = torch.bincount(torch.from_numpy(pieces).flatten())[1:]
        rows, columns = (torch.from_numpy(pieces) == int(areas.argmax()) + 1).nonzero(as_tuple=True)
        center = torch.tensor([rows.float().mean() + 0.5, columns.float().mean() + 0.5]) / 128
        cell = torch.tensor([labels["position"] // 3, labels["position"] % 3])
        assert ((center > cell / 3 - 0.01) & (center < (cell + 1) / 3 + 0.01)).all()
        reach = torch.hypot(rows / 128 - center[0], columns / 128 - center[1]).max()
        extent = {"disc": 0.86, "ring": 0.92, "square": 0.99, "cross": 0.965, "star": 1.0}[names[labels["shape"]]]
        assert 0.19 + 0.045 * labels["scale"] - 0.015 < reach / extent < 0.235 + 0.045 * labels["scale"] + 0.015


def test_pixels_give_little_of_the_shape_away_but_give_the_color() -> None:
    """What a linear probe finds in pixels a method need not learn."""
    images, labels = scenes(1500, image_size=24)
    pixels = StandardScaler().fit_transform(images.flatten(1).float())
    accuracy = {}
    for name in ("shape", "color"):
        classes = [label[name] for label in labels]
        probe = RidgeClassifier(alpha=1000).fit(pixels[:1000], classes[:1000])
        accuracy[name] = probe.score(pixels[1000:], classes[1000:])
    # eight classes each
    assert accuracy["shape"] < 0.4
    assert accuracy["color"] > 0.45


def test_the_datamodule_has_disjoint_sets_and_names_its_classes() -> None:
    data = ShapesDataModule(num_train=20, num_val=10, image_size=16, seed=3)
    data.setup()
    assert data.num_samples == 20
    assert len(data.val_set) == 10  # type: ignore[arg-type]
    assert data.num_classes == {name: len(names) for name, names in SHAPES_CLASS_NAMES.items()}
    train = {data.train_set[i][0].numpy().tobytes() for i in range(20)}
    assert not train & {data.val_set[i][0].numpy().tobytes() for i in range(10)}


def test_validation_scenes_do_not_depend_on_the_number_of_training_scenes() -> None:
    def first(num_train: int) -> torch.Tensor:
        data = ShapesDataModule(num_train=num_train, num_val=1)
        data.setup()
        assert isinstance(data.val_set, Dataset)
        image: torch.Tensor = data.val_set[0][0]
        return image

    assert torch.equal(first(8), first(80))
