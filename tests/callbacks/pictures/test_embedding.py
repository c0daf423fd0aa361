import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import EmbeddingPlot
from jepa_lightning.callbacks.pictures import embedding


def told(recwarn):
    return [str(each.message) for each in recwarn if "EmbeddingPlot" in str(each.message)]


@pytest.fixture
def quick(monkeypatch):
    """The first two features in place of t-SNE, which takes a second."""
    monkeypatch.setitem(embedding.MAKERS, "tsne", lambda features: features[:, :2])


def test_samples_of_one_cluster_are_together():
    centers = 20 * np.eye(3, 8, dtype=np.float32)
    labels = np.arange(60) % 3
    features = centers[labels] + np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    places = embedding.MAKERS["tsne"](features)
    assert places.shape == (60, 2)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e9 * np.eye(60)
    assert (labels[distances.argmin(1)] == labels).all()
    assert np.array_equal(places, embedding.MAKERS["tsne"](features))


@pytest.mark.parametrize("number", [5, 6, 16])
def test_few_samples_are_drawn_too(fit, shapes, pictures, number):
    fit(EmbeddingPlot(every_n_steps=9), data=shapes(num_train=32, num_val=number), max_steps=1)
    assert pictures() == ["step_000000/embedding.png", "step_000001/embedding.png"]


def test_too_few_samples_are_one_line(fit, shapes, recwarn, pictures):
    fit(EmbeddingPlot(), data=shapes(num_train=32, num_val=4), max_steps=1)
    assert told(recwarn) == [
        "EmbeddingPlot: a map needs 5 samples, and there are 4: leave it out. It draws nothing from here on."
    ]
    assert pictures() == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("labels", [[0] * 12, [-1] * 12, list(range(12)), [None] * 12])
def test_any_labels_are_drawn_on_any_module(quiet_trainer, pictures, labels, plain):
    images = torch.rand(12, 3, 8, 8)
    samples = [image if label is None else (image, label) for image, label in zip(images, labels, strict=True)]

    class Unlabeled(plain.Plain):
        def loss(self, batch):
            images = batch[0] if isinstance(batch, list) else batch
            return self.head(self.backbone(images).mean((2, 3))).square().mean()

    trainer = quiet_trainer(callbacks=[EmbeddingPlot(features="backbone")], max_steps=1)
    trainer.fit(Unlabeled(), DataLoader(samples, 4), DataLoader(samples, 4))
    assert pictures() == ["step_000000/embedding.png", "step_000001/embedding.png"]


@pytest.mark.usefixtures("quick")
def test_the_projector_has_features_names_and_sprites(fit, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    fit(EmbeddingPlot(num_images=9, label="color", name="map"), logger=logger, max_steps=1)
    folder = tmp_path / "run" / "00001" / "map"
    rows = (folder / "tensors.tsv").read_text().splitlines()
    names = (folder / "metadata.tsv").read_text().splitlines()
    assert (len(rows), len(rows[0].split("\t")), len(names)) == (9, 48, 9)
    assert set(names) <= {"red", "orange", "yellow", "green", "cyan", "blue", "violet", "pink"}
    assert (folder / "sprite.png").is_file()
    assert (tmp_path / "run" / "pictures" / "step_000001" / "map.png").is_file()


def test_features_that_are_all_alike_are_one_line(fit, tiny_ijepa, recwarn, pictures, monkeypatch):
    monkeypatch.setitem(embedding.MAKERS, "tsne", lambda features: np.full((len(features), 2), np.nan))
    assert fit(EmbeddingPlot(), max_steps=1).global_step == 1
    assert told(recwarn) == [
        "EmbeddingPlot: the features of all samples are alike, so there is no map of them. It draws nothing from here "
        "on."
    ]


def test_without_umap_it_says_so_at_once(fit, recwarn, pictures, monkeypatch):
    monkeypatch.setattr(embedding, "find_spec", lambda name: None if name == "umap" else True)
    assert fit(EmbeddingPlot(method="umap"), max_steps=1).global_step == 1
    assert told(recwarn) == [
        "EmbeddingPlot: method='umap' needs umap-learn, which is not installed: pip install umap-learn, or take "
        "'tsne'. It draws nothing from here on."
    ]
    assert pictures() == []


def test_umap_draws_where_it_is_installed(monkeypatch):
    """A stand-in has its place: the package is none of the tests'."""
    asked = []

    class UMAP:
        def __init__(self, **options):
            asked.append(options)

        def fit_transform(self, features):
            return features[:, :2]

    module = ModuleType("umap")
    module.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    assert embedding.MAKERS["umap"](np.zeros((8, 4))).shape == (8, 2)
    assert asked == [{"n_neighbors": 7, "random_state": 0}]


def test_another_method_is_refused():
    with pytest.raises(ValueError, match=r"^EmbeddingPlot: there is no method 'pca': choose one of tsne, umap\.$"):
        EmbeddingPlot(method="pca")
