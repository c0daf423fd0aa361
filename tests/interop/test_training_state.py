"""A run that leaves in the form of the reference and comes back takes the same next steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.cli.main import main
from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.own_checkpoint import write_checkpoint
from jepa_lightning.interop.reference_writer import reference_content
from jepa_lightning.interop.training_state import resumable
from jepa_lightning.types import Batch

NETWORKS = {"encoder": "context_encoder", "predictor": "predictor"}


def batches(module: IJEPA, make_batch: Any) -> DataLoader[Batch]:
    return DataLoader([make_batch(module, 4, seed) for seed in range(3)], batch_size=None)  # type: ignore[arg-type]


def test_the_next_steps_are_those_of_the_run_itself(
    tiny_ijepa: Any, make_batch: Any, quiet_trainer: Any, tmp_path: Path, capsys: Any
) -> None:
    build = {"ema": (0.9, 1.0), "predictor_heads": 3, "lr": 0.01, "warmup": 4}
    module = tiny_ijepa(**build)
    loader = batches(module, make_batch)
    saving = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, every_n_epochs=1)
    quiet_trainer(max_epochs=4, callbacks=[saving], enable_checkpointing=True).fit(module, loader)
    middle = str(tmp_path / "epoch=1.ckpt")
    main(["convert", middle, str(tmp_path / "run.pth.tar"), "--to", "reference"])
    saved = torch.load(tmp_path / "run.pth.tar", weights_only=True)
    assert saved["epoch"] == 2
    assert [len(group["params"]) for group in saved["opt"]["param_groups"]] == [10, 8, 19, 12]
    options = ["--heads", "3", "--predictor_heads", "3"]
    main(["convert", str(tmp_path / "run.pth.tar"), str(tmp_path / "back.ckpt"), "--to", "torch", *options])
    assert "resumes the run" in capsys.readouterr().out
    again = tiny_ijepa(**build)
    trainer = quiet_trainer(max_epochs=4)
    trainer.fit(again, loader, ckpt_path=tmp_path / "back.ckpt")
    assert trainer.global_step == 12
    own, other = module.state_dict(), again.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in own.items())
    first = torch.load(middle, weights_only=True)["state_dict"]
    assert any(not torch.equal(value, own[name]) for name, value in first.items())


CLIPS = {
    "encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8, "num_frames": 4,
    "predictor_depth": 1, "predictor_dim": 48, "predictor_heads": 3, "min_keep": 2,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "vjepa": {},
    "vjepa2": {"rope": True, "rope_style": "vjepa2"},
    "vjepa2_1": {"rope": True, "rope_grid": 16, "images": True, "levels": [0, 1], "context_loss": 0.5},
}
SCALER = {
    "scale": 1024.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 6,
}  # fmt: skip


def clips(module: VJEPA, seed: int) -> Batch:
    torch.manual_seed(seed)
    pipeline, videos = module.pipeline(), torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    return pipeline.collate([pipeline.eval_transform(video) for video in videos])


def place(name: str) -> int:
    """Of a parameter of the predictor: its own ones, then its layers as they are built."""
    first = ["predictor_pos_embed", "video_mod_embed", "img_mod_embed", "predictor_embed.", "mask_tokens."]
    return next((number for number, start in enumerate(first) if name.startswith(start)), len(first))


def written_by_the_reference(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A file of the reference of a run here, whose predictor has its parameters in another order than ours.

    Parameters are numbered one after the other: decayed ones of the encoder, of the predictor, and then the others.
    """
    weights, saved = checkpoint["state_dict"], checkpoint["optimizer_states"][0]
    content: dict[str, Any] = {}
    for entry, ours in {**NETWORKS, "target_encoder": "target_encoder"}.items():
        names = [name.removeprefix(f"{ours}.") for name in weights if name.startswith(f"{ours}.")]
        if entry == "predictor":
            names.sort(key=place)
        content[entry] = {f"module.backbone.{name}": weights[f"{ours}.{name}"] for name in names}
    states: dict[int, Any] = {}
    groups: list[dict[str, Any]] = []
    number = 0
    for decayed in (True, False):
        for entry, ours in NETWORKS.items():
            numbers = []
            for key, value in content[entry].items():
                if (value.ndim == 1 or "bias" in key) == decayed:
                    continue
                if state := saved["state"].get(f"{ours}.{key.removeprefix('module.backbone.')}"):
                    states[number] = state
                numbers.append(number)
                number += 1
            groups.append({"params": numbers, "lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1})
            groups[-1] |= {"amsgrad": False, "foreach": None, "maximize": False, "capturable": False}
            groups[-1] |= {"differentiable": False, "fused": True, **({} if decayed else {"WD_exclude": True})}
    return {**content, "opt": {"state": states, "param_groups": groups}, "scaler": SCALER, "epoch": 2, "lr": 0.1}


def build(family: str) -> VJEPA:
    torch.manual_seed(0)
    schedule = {"lr": 0.01, "warmup": 4, "ema": (0.9, 1.0)}
    return VJEPA(**CLIPS, **FAMILIES[family], **schedule)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_next_steps_of_clips_are_those_of_the_run(family: str, quiet_trainer: Any, tmp_path: Path) -> None:
    module = build(family)
    loader = DataLoader([clips(module, seed) for seed in range(3)], batch_size=None)  # type: ignore[arg-type]
    saving = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, every_n_epochs=1)
    quiet_trainer(max_epochs=4, callbacks=[saving], enable_checkpointing=True).fit(module, loader)
    content = written_by_the_reference(torch.load(tmp_path / "epoch=1.ckpt", weights_only=True))
    torch.save(content, tmp_path / "latest.pt")
    given = {**CLIPS, "levels": (0, 1)} if family == "vjepa2_1" else CLIPS
    converted = VJEPA.from_pretrained(tmp_path / "latest.pt", **given)
    assert write_checkpoint(converted, tmp_path / "back.ckpt", str(tmp_path / "latest.pt"))
    back = torch.load(tmp_path / "back.ckpt", weights_only=True)
    assert (back["epoch"], back["global_step"], back["MixedPrecision"]) == (1, 6, SCALER)
    again = build(family)
    trainer = quiet_trainer(max_epochs=4)
    trainer.fit(again, loader, ckpt_path=tmp_path / "back.ckpt")
    assert trainer.global_step == 12
    own, other = module.state_dict(), again.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in own.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_of_clips_comes_back_with_the_same_bits(family: str, quiet_trainer: Any, tmp_path: Path) -> None:
    module = build(family)
    loader = DataLoader([clips(module, seed) for seed in range(3)], batch_size=None)  # type: ignore[arg-type]
    saving = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, every_n_epochs=1)
    quiet_trainer(max_epochs=4, callbacks=[saving], enable_checkpointing=True).fit(module, loader)
    middle, written = tmp_path / "epoch=1.ckpt", tmp_path / "latest.pt"
    main(["convert", str(middle), str(written), "--to", "reference"])
    found, expected = (
        torch.load(written, weights_only=True),
        written_by_the_reference(torch.load(middle, weights_only=True)),
    )
    for entry in NETWORKS:
        assert list(found[entry]) == list(expected[entry])
    for group, other in zip(found["opt"]["param_groups"], expected["opt"]["param_groups"], strict=True):
        assert group["params"] == other["params"]
    assert found["opt"]["state"].keys() == expected["opt"]["state"].keys()
    for number, state in found["opt"]["state"].items():
        assert all(torch.equal(value, expected["opt"]["state"][number][name]) for name, value in state.items())
    given = {**CLIPS, "levels": (0, 1)} if family == "vjepa2_1" else CLIPS
    converted = VJEPA.from_pretrained(written, **given)
    assert write_checkpoint(converted, tmp_path / "back.ckpt", str(written))
    again = build(family)
    trainer = quiet_trainer(max_epochs=4)
    trainer.fit(again, loader, ckpt_path=tmp_path / "back.ckpt")
    assert trainer.global_step == 12
    own, other_run = module.state_dict(), again.state_dict()
    assert all(torch.equal(value, other_run[name]) for name, value in own.items())


def in_the_form_of_version_2(path: Path) -> tuple[dict[str, Any], VJEPA]:
    """A file with the tables that the second version no longer counts, and mask tokens that it never trains."""
    module = VJEPA(**CLIPS, **FAMILIES["vjepa2"])  # type: ignore[arg-type]
    saved = {
        "state": {
            name: {"step": torch.tensor(6.0), "exp_avg": torch.full_like(value, number)}
            for number, (name, value) in enumerate(module.named_parameters())
            if not name.startswith(("target_encoder", "predictor.mask_tokens.1"))
        }
    }
    weights = dict(module.state_dict())
    weights |= {f"predictor.mask_tokens.{number}": torch.zeros(1, 1, 48) for number in range(1, 10)}
    content = written_by_the_reference({"state_dict": weights, "optimizer_states": [saved]})
    for entry, name in (("encoder", "pos_embed"), ("predictor", "predictor_pos_embed")):
        content[entry] = {f"module.backbone.{name}": torch.zeros(1, 64, 48), **content[entry]}
    torch.save(content, path)
    return content, VJEPA.from_pretrained(path, **CLIPS)


def test_what_the_second_version_has_beyond_its_parameters(tmp_path: Path) -> None:
    content, module = in_the_form_of_version_2(tmp_path / "latest.pt")
    assert len(content["opt"]["param_groups"][1]["params"]) == 10 + 6  # 10 mask tokens
    found = resumable(open_reference(tmp_path / "latest.pt"), module)["optimizer_states"][0]
    names = [name for name, _ in module.named_parameters() if not name.startswith("target_encoder")]
    assert sorted(found["state"]) == sorted(names)
    assert sorted(name for group in found["param_groups"] for name in group["params"]) == sorted(names)
    for number, (name, value) in enumerate(module.named_parameters()):
        if name in names and name != "predictor.mask_tokens.1":
            assert torch.equal(found["state"][name]["exp_avg"], torch.full_like(value, number))
    first, second = (found["state"][f"predictor.mask_tokens.{number}"] for number in range(2))
    assert torch.equal(first["exp_avg"], second["exp_avg"])  # as its values, which are the first's too
    assert first["exp_avg"] is not second["exp_avg"]


def test_states_in_another_order_are_refused(tmp_path: Path) -> None:
    content, module = in_the_form_of_version_2(tmp_path / "latest.pt")
    content["predictor"] = dict(reversed(content["predictor"].items()))
    torch.save(content, tmp_path / "latest.pt")
    with pytest.raises(ValueError, match=r"does not fit: its exp_avg for predictor\..* has the shape"):
        resumable(open_reference(tmp_path / "latest.pt"), module)


def test_the_optimizer_of_another_predictor_is_no_state_of_this_run(tmp_path: Path) -> None:
    content, module = in_the_form_of_version_2(tmp_path / "latest.pt")
    content["predictor"]["module.backbone.action_encoder.weight"] = torch.zeros(48, 7)
    torch.save(content, tmp_path / "latest.pt")
    reference = open_reference(tmp_path / "latest.pt")
    assert reference.family == "vjepa2_ac"
    assert resumable(reference, module) == {}


def test_the_scaler_of_a_run_in_half_precision_goes_with_it(tiny_ijepa: Any) -> None:
    module = tiny_ijepa()
    names = {parameter: name for name, parameter in module.named_parameters()}
    groups = [
        {"name": group["name"], "lr": 0.1, "params": [names[each] for each in group["params"]]}
        for group in module.optimizer_groups()
    ]
    checkpoint = {"optimizer_names": ["AdamW"], "optimizer_states": [{"state": {}, "param_groups": groups}]}
    assert reference_content(module, {**checkpoint, "MixedPrecision": SCALER})["scaler"] == SCALER


def test_an_optimizer_of_other_networks_is_refused(tiny_ijepa: Any, tmp_path: Path, capsys: Any) -> None:
    content = reference_content(tiny_ijepa(predictor_heads=3))
    groups = [{"params": [0, 1], "lr": 0.1}, {"params": [2], "lr": 0.1}]
    content |= {"epoch": 2, "opt": {"state": {0: {"step": 4}}, "param_groups": groups}}
    torch.save(content, tmp_path / "run.pth.tar")
    options = ["--heads", "3", "--predictor_heads", "3"]
    with pytest.raises(SystemExit):
        main(["convert", str(tmp_path / "run.pth.tar"), str(tmp_path / "back.ckpt"), "--to", "torch", *options])
    assert "has groups of [2, 1] parameters" in capsys.readouterr().err
    assert not (tmp_path / "back.ckpt").exists()
