import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from jepa_lightning.callbacks import (
    CollapseMonitor,
    EmbeddingPlot,
    EnergyHistogram,
    EnergyMap,
    MaskPictures,
    NeighborPictures,
    OnlineKNN,
    OnlineLinearProbe,
    RunReport,
    TokenPCA,
)

PICTURES = {"masks", "token_pca", "energy_map", "neighbors", "energy_histogram", "embedding"}


def watchers(memory=32):
    probes = [OnlineLinearProbe(), OnlineKNN(k=5, every_n_epochs=1), CollapseMonitor(every_n_steps=2, memory=memory)]
    pictures = [
        MaskPictures(4, num_images=2), TokenPCA(4, num_images=2), EnergyMap(4, num_images=2),
        NeighborPictures(4, num_images=2, max_samples=8), EnergyHistogram(4, num_images=2),
        EmbeddingPlot(4, num_images=5),
    ]  # fmt: skip
    return [*probes, *pictures, RunReport()]


def drawn(folder, step):
    return {path.stem for path in (folder / "pictures" / f"step_{step:06d}").glob("*.png")}


LONG = 144  # nine batches: more than there are after the checkpoint and before the last measure


def fit(module, data, trainer, ckpt_path=None):
    torch.manual_seed(0)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_weights_are_the_same_with_and_without_callbacks(tiny_ijepa, shapes, quiet_trainer, tmp_path):
    runs = [
        # drop_path draws from the global generator in training
        fit(tiny_ijepa(drop_path=0.5), shapes(), quiet_trainer(callbacks=callbacks, max_epochs=3))
        for callbacks in (watchers(), [])
    ]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[1])
    assert runs[0].keys() == runs[1].keys()
    assert all(drawn(tmp_path, step) == PICTURES for step in (0, 4, 8, 12))


@pytest.fixture
def undisturbed(tiny_ijepa, shapes, quiet_trainer, tmp_path):
    """A run of ten steps that has left a checkpoint after the fifth, in the middle of its second epoch."""
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=5, save_top_k=-1, filename="{step}")
    trainer = quiet_trainer(
        callbacks=[*watchers(LONG), keep], max_steps=10, accumulate_grad_batches=2, enable_checkpointing=True
    )
    weights = fit(tiny_ijepa(), shapes(num_train=128), trainer)
    return trainer, weights, tmp_path / "step=5.ckpt"


def test_a_resumed_run_ends_as_the_undisturbed_one(undisturbed, tiny_ijepa, shapes, quiet_trainer, same_bits):
    trainer, weights, checkpoint = undisturbed
    resumed = quiet_trainer(callbacks=watchers(LONG), max_steps=10, accumulate_grad_batches=2)
    again = fit(tiny_ijepa(), shapes(num_train=128), resumed, checkpoint)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    number = len(watchers())
    for first, second in zip(trainer.callbacks[:number], resumed.callbacks[:number], strict=True):
        assert same_bits(first.state_dict(), second.state_dict())
    names = {name for name in trainer.callback_metrics if name.startswith(("val/", "collapse/"))}
    assert {"val/linear_shape", "val/knn_shape", "collapse/rank"} <= names
    assert all(trainer.callback_metrics[name] == resumed.callback_metrics[name] for name in names)


def test_the_checkpoint_loads_with_weights_only_and_keeps_heads_out_of_the_module(undisturbed):
    trainer, _, path = undisturbed
    checkpoint = torch.load(path, weights_only=True)
    assert {"OnlineLinearProbe", "OnlineKNN", "CollapseMonitor"} <= checkpoint["callbacks"].keys()
    assert checkpoint["callbacks"]["OnlineLinearProbe"]["probe"]["heads"]["heads.0.weight"].shape[1] == 48
    prefixes = {name.split(".")[0] for name in checkpoint["state_dict"]}
    assert prefixes == {"context_encoder", "target_encoder", "predictor"}
    trained = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert trained <= {id(p) for p in trainer.lightning_module.parameters()}


@pytest.mark.parametrize("precision", ["bf16-mixed"])
def test_all_of_them_work_in_mixed_precision(tiny_ijepa, shapes, quiet_trainer, precision, tmp_path):
    trainer = quiet_trainer(callbacks=watchers(), max_epochs=2, precision=precision)
    trainer.fit(tiny_ijepa(), datamodule=shapes())
    assert {"val/linear", "val/knn", "collapse/rank"} <= trainer.callback_metrics.keys()
    assert drawn(tmp_path, 8) == PICTURES
