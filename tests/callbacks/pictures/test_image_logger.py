import os
import sys
import types

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jepa_lightning.callbacks import ImageLogger

RED = Image.new("RGB", (4, 2), "red")


class Takes(Logger):
    """A logger of a person's own that takes images as Lightning's do."""

    name, version, save_dir = "takes", 0, None

    def __init__(self):
        super().__init__()
        self.taken = []

    def log_metrics(self, metrics, step=None): ...

    def log_hyperparams(self, params): ...

    def log_image(self, key, images, step=None, **kwargs):
        self.taken.append((key, [image.size for image in images], step))


def test_the_file_is_in_the_folder_of_the_run(quiet_trainer, tmp_path):
    path = ImageLogger(quiet_trainer(), "Mine").write("red", RED)
    assert path == tmp_path / "pictures" / "step_000000" / "red.png"
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(RED))
    assert os.listdir(path.parent) == ["red.png"]


def test_the_folder_is_the_loggers_where_there_is_one(quiet_trainer, tmp_path):
    logger = CSVLogger(tmp_path, name="runs", version=3)
    path = ImageLogger(quiet_trainer(logger=logger), "Mine").write("red", RED)
    assert path == tmp_path / "runs" / "version_3" / "pictures" / "step_000000" / "red.png"


def test_the_file_of_another_run_stays_and_is_named_once(quiet_trainer, recwarn):
    path = ImageLogger(quiet_trainer(), "Mine").write("red", RED)
    before = path.read_bytes()
    logger = ImageLogger(quiet_trainer(), "Mine")
    for _ in range(2):
        assert logger.write("red", Image.new("RGB", (4, 2), "blue")) == path
    assert path.read_bytes() == before
    told = [str(each.message) for each in recwarn if "of another run" in str(each.message)]
    assert len(told) == 1
    assert told[0].startswith(f"Mine: {path} is of another run and stays as it is.")


def test_a_run_that_resumes_says_nothing_of_its_files(quiet_trainer, recwarn):
    trainer = quiet_trainer()
    ImageLogger(trainer, "Mine").write("red", RED)
    trainer.ckpt_path = "last.ckpt"
    ImageLogger(trainer, "Mine").write("red", RED)
    assert not [each for each in recwarn if "of another run" in str(each.message)]


def test_a_file_appears_whole_or_not_at_all(quiet_trainer, tmp_path, monkeypatch):
    def fails(self, place, **options):
        place.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(OSError, match="no space left"):
        ImageLogger(quiet_trainer(), "Mine").write("red", RED)
    assert not list((tmp_path / "pictures" / "step_000000").iterdir())


def test_other_ranks_write_nothing(quiet_trainer, tmp_path, monkeypatch):
    trainer = quiet_trainer(logger=Takes())
    logger = ImageLogger(trainer, "Mine")
    monkeypatch.setattr(type(trainer), "is_global_zero", False)
    logger.write("red", RED)
    assert not list(tmp_path.iterdir())
    assert not trainer.logger.taken


def test_a_folder_that_is_not_on_a_disk_is_refused_after_the_loggers_have_the_image(quiet_trainer):
    own = Takes()
    logger = ImageLogger(quiet_trainer(logger=own), "Mine")
    logger.folder = "s3://bucket/run"
    with pytest.raises(ValueError, match="local disk, and the run's folder is s3://bucket/run"):
        logger.write("red", RED)
    assert own.taken == [("red", [(4, 2)], 0)]


def test_tensorboard_has_the_image_under_its_name(quiet_trainer, tmp_path):
    trainer = quiet_trainer(logger=TensorBoardLogger(tmp_path, name="", version="run"))
    ImageLogger(trainer, "Mine").write("red", RED)
    trainer.logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    (image,) = events.Images("red")
    assert (image.step, image.width, image.height) == (0, 4, 2)


def test_weights_and_biases_has_the_image(quiet_trainer, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    taken = []
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda self, metrics, step=None: taken.append((metrics, step)))
    ImageLogger(quiet_trainer(logger=logger), "Mine").write("red", RED)
    ((metrics, step),) = taken
    assert step == 0
    assert (metrics["red"][0].image.size, len(metrics["red"])) == ((4, 2), 1)


def test_mlflow_has_the_image_of_its_run(quiet_trainer, monkeypatch):
    """MLflow's client is a stand-in: the package is none of the tests'."""
    taken = []
    client = types.SimpleNamespace(log_image=lambda run, image, key, step: taken.append((run, image.size, key, step)))
    logger = object.__new__(MLFlowLogger)
    monkeypatch.setattr(MLFlowLogger, "experiment", client)
    monkeypatch.setattr(MLFlowLogger, "run_id", "a1")
    monkeypatch.setattr(MLFlowLogger, "save_dir", None)
    ImageLogger(quiet_trainer(logger=logger), "Mine").write("red", RED)
    assert taken == [("a1", (4, 2), "red", 0)]
    assert "mlflow" not in sys.modules


def test_a_logger_of_a_persons_own_has_the_image(quiet_trainer):
    own = Takes()
    ImageLogger(quiet_trainer(logger=own), "Mine").write("red", RED)
    assert own.taken == [("red", [(4, 2)], 0)]
