import pytest
import torch

import jepa_lightning

ROWS = ("checkpoint", "random weights", "raw pixels")


@pytest.fixture
def checkpoint(tiny_ijepa, shapes, quiet_trainer, tmp_path):
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(), datamodule=shapes())
    trainer.save_checkpoint(tmp_path / "tiny.ckpt")
    return tmp_path / "tiny.ckpt"


def table(text: str) -> dict[str, list[float]]:
    """Width and accuracies of each row."""
    lines = [line for line in text.splitlines() if line.startswith(ROWS)]
    return {line[:20].strip(): [float(cell) for cell in line[20:].split()] for line in lines}


@pytest.mark.parametrize(("layers", "width"), [(1, 48), (2, 96)])
def test_prints_the_probes_of_a_checkpoint_beside_random_weights_and_pixels(example, checkpoint, capsys, layers, width):
    probe = example("probe_a_checkpoint.py")
    options = ["--data", "digits", "--layers", str(layers), "--max-samples", "300", "--num-workers", "0"]
    probe.main([str(checkpoint), *options])
    rows = table(capsys.readouterr().out)
    assert [row[0] for row in rows.values()] == [width, width, 3 * 32 * 32]
    assert rows["checkpoint"] != rows["random weights"]
    assert all(0.1 < accuracy < 1 for row in rows.values() for accuracy in row[1:])
    # 300 of the digits give as much to any linear classifier
    assert rows["raw pixels"][1] > 0.8


def test_takes_a_folder_and_one_of_several_labels(example, checkpoint, folder, capsys):
    probe = example("probe_a_checkpoint.py")
    probe.main([str(checkpoint), "--data", str(folder), "--num-workers", "0"])
    probe.main([str(checkpoint), "--label", "background", "--max-samples", "60", "--num-workers", "0"])
    assert capsys.readouterr().out.count("raw pixels") == 2


def test_images_without_labels_are_refused_in_one_line(example, checkpoint, tmp_path, folder):
    loose = next(folder.glob("*/"))
    with pytest.raises(SystemExit, match="no labels to probe for"):
        example("probe_a_checkpoint.py").main([str(checkpoint), "--data", str(loose), "--num-workers", "0"])


def test_features_are_those_of_the_target_encoder(example, tiny_ijepa, make_batch):
    module = tiny_ijepa()
    torch.nn.init.zeros_(module.context_encoder.norm.weight)
    batch = make_batch(module)
    found = example("probe_a_checkpoint.py").features(module, [batch, batch], layers=1)
    expected = module.target_encoder(batch.views[0]).mean(dim=1)
    torch.testing.assert_close(torch.tensor(found), torch.cat([expected, expected]))


def test_takes_a_checkpoint_of_another_method(example, shapes, quiet_trainer, tmp_path, capsys):
    module = jepa_lightning.SimCLR("vit_tiny", width=48, depth=1, heads=3, image_size=32, patch_size=8)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module, datamodule=shapes())
    trainer.save_checkpoint(tmp_path / "simclr.ckpt")
    options = ["--method", "SimCLR", "--max-samples", "60", "--num-workers", "0"]
    example("probe_a_checkpoint.py").main([str(tmp_path / "simclr.ckpt"), *options])
    assert set(table(capsys.readouterr().out)) == set(ROWS)
