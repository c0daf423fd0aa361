import csv
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from PIL import Image
from sklearn.metrics import roc_auc_score

from jepa_lightning import MAE, SimCLR
from jepa_lightning.energy import anomaly_score, energy_map

SMALL = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}


def checkpoint(module, data, trainer, path: Path) -> Path:
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(path)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_a_folder_by_the_energies_of_tokens(example, folder, shapes, quiet_trainer, tmp_path, capsys):
    anomalies = example("find_anomalies.py")
    torch.manual_seed(0)
    module = MAE(**SMALL, decoder_depth=1, decoder_dim=24, decoder_heads=3)
    ckpt, out = checkpoint(module, shapes(), quiet_trainer(max_steps=1), tmp_path / "mae.ckpt"), tmp_path / "out"
    command = ["--ckpt", str(ckpt), "--method", "MAE", "--root", str(folder), "--num-workers", "0", "--out", str(out)]
    anomalies.main(command)
    found = rows(out / "scores.csv")
    assert [row["rank"] for row in found] == [str(i) for i in range(1, 25)]
    assert {row["path"] for row in found} == {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    scores = [float(row["score"]) for row in found]
    assert scores == sorted(scores, reverse=True)
    maps = energy_map(module.eval(), module.preprocess([Image.open(folder / row["path"]) for row in found]))
    expected = anomaly_score(maps / maps.quantile(0.5, dim=0, interpolation="lower"), "top")
    assert scores == pytest.approx(expected.tolist(), rel=1e-4)
    anomalies.main([*command[:-1], str(tmp_path / "absolute"), "--absolute", "--score", "mean"])
    scores = [float(row["score"]) for row in rows(tmp_path / "absolute" / "scores.csv")]
    assert scores == pytest.approx(maps.mean(1).sort(descending=True).values.tolist(), rel=1e-4)
    assert imread(out / "sheet.png").std() > 0.1
    assert "24 scores in" in capsys.readouterr().out
    before = (out / "scores.csv").read_bytes()
    with pytest.raises(SystemExit, match="out is not empty: give a new folder to --out"):
        anomalies.main(command)
    assert (out / "scores.csv").read_bytes() == before


def test_methods_without_masks_are_scored_by_two_views(example, folder, shapes, quiet_trainer, tmp_path):
    anomalies = example("find_anomalies.py")
    torch.manual_seed(0)
    module = SimCLR(**SMALL, projector_hidden=32, projector_dim=16)
    ckpt = checkpoint(module, shapes(), quiet_trainer(max_steps=1), tmp_path / "simclr.ckpt")
    command = ["--ckpt", str(ckpt), "--method", "SimCLR", "--root", str(folder), "--num-workers", "0", "--out"]
    anomalies.main([*command, str(tmp_path / "first")])
    scores = [float(row["score"]) for row in rows(tmp_path / "first" / "scores.csv")]
    assert len(set(scores)) > 12  # the two views differ, or all energies would be 0
    assert imread(tmp_path / "first" / "sheet.png").std() > 0.1
    torch.manual_seed(1)
    anomalies.main([*command, str(tmp_path / "again")])
    assert rows(tmp_path / "again" / "scores.csv") == rows(tmp_path / "first" / "scores.csv")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", "out"], "give --root DIR"),
        (["--root", "a", "--demo", "shapes", "--out", "out"], "give --root DIR"),
        (["--root", "a", "--out", "out"], "--root needs --ckpt"),
    ],
)
def test_what_does_not_fit_is_refused(example, capsys, args, message):
    with pytest.raises(SystemExit) as stopped:
        example("find_anomalies.py").main(args)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_read_ends_in_one_line(example, tmp_path):
    anomalies = example("find_anomalies.py")
    (tmp_path / "junk.ckpt").write_bytes(b"junk")
    (tmp_path / "file").write_text("of a person")
    for ckpt, out, message in (
        ("none.ckpt", "out", "there is no checkpoint"),
        ("junk.ckpt", "out", "junk.ckpt"),
        ("junk.ckpt", "file", "file"),
    ):
        command = ["--ckpt", str(tmp_path / ckpt), "--root", str(tmp_path), "--out", str(tmp_path / out)]
        with pytest.raises(SystemExit, match=f"find_anomalies.py: error: .*{message}") as stopped:
            anomalies.main(command)
        assert "\n" not in str(stopped.value.code)
    assert (tmp_path / "file").read_text() == "of a person"


def test_auroc_is_of_the_half_that_was_not_chosen_by(example):
    demo = example("anomaly_demo.py")
    odd = torch.tensor([False, True, True] * 8)
    kind = torch.tensor([-1, 0, 1] * 8)
    samples = demo.Samples(torch.zeros(24), odd, kind, ("a", "b"), torch.zeros(0))
    first = torch.arange(24) < 12
    # right on the first half and wrong on the second, and the other way round
    honest, lucky = odd.float() * first - odd.float() * ~first, odd.float() * ~first - odd.float() * first
    assert demo.chosen({"honest": honest, "lucky": lucky}, samples) == ("honest", [0.0, 0.0])
    noise = torch.rand(24, generator=torch.Generator().manual_seed(0))
    expected = [roc_auc_score(odd[12:][keep], noise[12:][keep]) for keep in ((kind != 1)[12:], (kind != 0)[12:])]
    assert demo.separation(noise, samples, 1) == pytest.approx(expected)
    # a kind with normal samples of its own is compared with them alone
    own = demo.Samples(torch.zeros(24), odd, torch.tensor([0, 0, 1, 1, 1, 0] * 4), ("a", "b"), torch.zeros(0))
    keep = own.kind[12:] == 0
    assert demo.separation(noise, own, 1)[0] == pytest.approx(roc_auc_score(odd[12:][keep], noise[12:][keep]))


def test_statistics_of_pixels_are_those_of_each_patch(example):
    demo = example("anomaly_demo.py")
    image = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    found = demo.statistics(image)
    assert found.shape == (2, 6, 6)
    patch = image[1, :, 8:16, 8:16].flatten(1)
    assert torch.allclose(found[1, 4], torch.cat([patch.mean(1), patch.std(1, correction=0)]), atol=1e-5)
    clip = torch.stack([image, image + 0.5], dim=2)
    moving = demo.statistics(clip)
    assert moving.shape == (2, 6, 9)
    assert torch.allclose(moving[..., 6:], torch.tensor(0.5), atol=1e-6)


def test_patches_unlike_those_of_normal_samples_are_found(example):
    demo = example("anomaly_demo.py")
    generator = torch.Generator().manual_seed(0)
    normal, views = (torch.rand(size, 3, 16, 16, generator=generator) for size in (64, 20))
    odd = torch.arange(20) % 2 == 1
    views[odd, :, :8, :8] += 2
    samples = demo.Samples(views, odd, torch.where(odd, 0, -1), ("bright",), normal)
    for scores in demo.pixel_scores(samples).values():
        assert demo.chosen(scores, samples)[1] == [1.0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapes", "physics"])
def test_demos_compare_with_random_weights_and_pixels(example, tmp_path, capsys, monkeypatch, name):
    anomalies = example("find_anomalies.py")
    out = tmp_path / name
    anomalies.main(["--demo", name, "--steps", "1", "--samples", "4", "--num-workers", "0", "--out", str(out)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| energy", "| energy, random weights", "| pixel statistics, Gaussian of patches",
        "| pixel statistics, nearest neighbor",
    ]  # fmt: skip
    kinds = {"shapes": ("odd color", "odd shape", "missing object"), "physics": ("vanish", "teleport", "wall")}[name]
    assert all(kind in lines[0] for kind in kinds)
    found = rows(out / "scores.csv")
    assert len(found) == {"shapes": 16, "physics": 40}[name]
    assert {row["path"].split(", ")[1] for row in found} >= {"normal", *kinds}
    assert imread(out / "sheet.png").std() > 0.1
