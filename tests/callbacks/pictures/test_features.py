import pytest
import torch
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from jepa_lightning.callbacks.pictures.features import portraits
from jepa_lightning.callbacks.sources import Source


@pytest.fixture
def read(quiet_trainer, plain):
    """Portraits of the samples of a loader, read in a fit."""

    def run(loader, size, label=None):
        found = []

        class Reads(Callback):
            def on_train_start(self, trainer, pl_module):
                found.append(portraits(trainer, pl_module, Source("Mine", "backbone"), loader, size, label))
                found.append(pl_module.backbone.training)

        trainer = quiet_trainer(callbacks=[Reads()], max_steps=1, limit_val_batches=0)
        trainer.fit(plain.Plain(), plain.loaders()[0])
        assert found[1] is True
        return found[0]

    return run


def loader(number, side=8):
    torch.manual_seed(0)
    return DataLoader([(torch.rand(3, side, side), index % 3) for index in range(number)], 4)


def test_features_are_those_of_the_network_in_eval_mode_in_one_order(read, plain):
    found, again = (read(loader(10), 6) for _ in range(2))
    assert torch.equal(found.features, again.features)
    images = torch.stack([image for image, _ in loader(10).dataset])
    backbone = plain.Plain().backbone.eval()
    expected = backbone(images).mean((2, 3)).detach()
    nearest = torch.cdist(found.features, expected).argmin(1)
    torch.testing.assert_close(found.features, expected[nearest])
    assert len(set(nearest.tolist())) == 6
    assert torch.equal(found.classes, nearest % 3)
    assert torch.equal(found.thumbnails[:, 0], (255 * images[nearest]).round().to(torch.uint8))


def test_there_are_as_many_as_the_loader_has(read):
    found = read(loader(5), 100)
    assert [len(part) for part in (found.features, found.thumbnails, found.classes)] == [5] * 3
    assert [len(part) for part in (found.first(2).features, found.first(2).classes)] == [2, 2]


def test_thumbnails_of_large_images_are_small(read):
    assert read(loader(4, side=200), 4).thumbnails.shape == (4, 1, 3, 96, 96)


def test_a_loader_without_samples_is_refused(read):
    with pytest.raises(ValueError, match="the loader gives no sample"):
        read([], 4)
