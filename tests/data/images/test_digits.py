import torch
from sklearn.datasets import load_digits

from jepa_lightning.data.images.digits import DigitsDataModule, DigitsDataset


def test_images_are_the_originals_enlarged() -> None:
    dataset = DigitsDataset(image_size=8)
    image, label, path = dataset[5]
    original = load_digits()
    assert len(dataset) == 1797
    assert image.dtype == torch.uint8
    assert image.shape == (3, 8, 8)
    assert torch.equal(image[1] * 16 / 255, image[2] * 16 / 255)
    assert (image[0].float() / 255 * 16 - torch.from_numpy(original.images[5])).abs().max() < 0.05
    assert label == original.target[5]
    assert path is None
    assert DigitsDataset(image_size=32)[5][0].shape == (3, 32, 32)


def test_the_split_is_stratified_disjoint_whole_and_seeded() -> None:
    data = DigitsDataModule(val_fraction=0.25, seed=1)
    data.setup()
    train, val = data.train_set.indices, data.val_set.indices  # type: ignore[attr-defined]
    assert sorted(train + val) == list(range(1797))
    assert len(val) == 450
    counts = torch.bincount(torch.tensor([data.val_set[i][1] for i in range(len(val))]))
    assert counts.max() - counts.min() <= 3
    again, other = DigitsDataModule(val_fraction=0.25, seed=1), DigitsDataModule(val_fraction=0.25, seed=2)
    again.setup()
    other.setup()
    assert again.val_set.indices == val  # type: ignore[attr-defined]
    assert other.val_set.indices != val  # type: ignore[attr-defined]


def test_it_has_ten_classes() -> None:
    data = DigitsDataModule()
    data.setup()
    assert data.num_classes == 10
    assert data.num_samples == 1437
    assert {data.train_set[i][1] for i in range(100)} == set(range(10))
