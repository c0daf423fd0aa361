from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning import SimCLR
from jepa_lightning.interop import pretrained as loading

SMALL: dict[str, Any] = {
    "encoder": "vit_tiny", "width": 24, "depth": 1, "heads": 3, "image_size": 16, "patch_size": 8,
    "projector_hidden": 8, "projector_dim": 4,
}  # fmt: skip


def build(seed: int = 0, **options: Any) -> SimCLR:
    torch.manual_seed(seed)
    return SimCLR(**{**SMALL, **options})


def same(one: SimCLR, other: SimCLR) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_folder_has_weights_and_options_and_what_is_loaded_is_in_eval_mode(tmp_path: Path) -> None:
    module = build(lr=0.5).train()
    assert module.save_pretrained(tmp_path / "model") is None
    assert module.training
    found = SimCLR.from_pretrained(tmp_path / "model", lr=0.25)
    assert same(found, module)
    assert not found.training
    assert found.hparams["lr"] == 0.25
    assert "SimCLR" in (tmp_path / "model" / "README.md").read_text()


def test_weights_of_half_precision_keep_their_values(tmp_path: Path) -> None:
    module = build().bfloat16()
    module.save_pretrained(tmp_path / "model")
    found = SimCLR.from_pretrained(tmp_path / "model")
    images = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(found(images), module.float().eval()(images))


def test_what_is_given_reaches_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    def load(cls: Any, source: Any, options: Any, **hub: Any) -> tuple[Any, str]:
        seen.append((cls, source, options, hub))
        return "a module", "a report"

    monkeypatch.setattr(loading, "load_pretrained", load)
    hub = {"force_download": True, "token": "t", "cache_dir": tmp_path, "local_files_only": True, "revision": "main"}
    found: Any = SimCLR.from_pretrained("OWNER/NAME", lr=0.5, **hub)
    assert found == "a module"
    assert seen == [(SimCLR, "OWNER/NAME", {"lr": 0.5}, hub)]


@pytest.mark.parametrize(("given", "name"), [({}, "model"), ({"repo_id": "OWNER/NAME"}, "OWNER/NAME")])
def test_a_push_is_of_the_name_of_the_folder_or_of_that_which_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, Any], name: str
) -> None:
    seen: list[Any] = []

    def push(self: Any, **options: Any) -> str:
        seen.append(options)
        return "https://address"

    monkeypatch.setattr(SimCLR, "push_to_hub", push)
    card = {"dataset": "MINE"}
    address = build().save_pretrained(
        tmp_path / "model", push_to_hub=True, model_card_kwargs=card, private=True, **given
    )
    assert address == "https://address"
    assert seen == [{"repo_id": name, "private": True, "model_card_kwargs": card}]
    assert "MINE" in (tmp_path / "model" / "README.md").read_text()


def test_weights_that_are_not_finite_leave_no_folder(tmp_path: Path) -> None:
    module = build()
    with torch.no_grad():
        module.projector[0].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"^[^\n]*SimCLR[^\n]*$"):
        module.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_start_is_of_fits_alone_and_must_be_there(tmp_path: Path, quiet_trainer: Any) -> None:
    first = build()
    first.save_pretrained(tmp_path / "model")
    module, untouched = build(1, start_from=str(tmp_path / "model")), build(1)
    module.trainer = quiet_trainer()
    for stage in ("validate", "test", "predict"):
        module.setup(stage)
        assert same(module, untouched)
    module.setup("fit")
    assert same(module, first)
    missing = build(1, start_from=str(tmp_path / "gone"))
    missing.trainer = quiet_trainer()
    missing.setup("fit")  # no error yet: a run that is resumed does not need it
    with pytest.raises(MisconfigurationException, match=r"^start_from: there is no [^\n]*gone\.$"):
        missing.on_fit_start()
    other = build(1, start_from=str(tmp_path / "model"), width=48)
    other.trainer = quiet_trainer()
    with pytest.raises(MisconfigurationException, match=r"^start_from: "):
        other.setup("fit")


def test_a_second_fit_continues_from_the_weights_of_the_first(tmp_path: Path) -> None:
    build(0).save_pretrained(tmp_path / "model")
    module = build(1, start_from=str(tmp_path / "model"))
    module.setup("fit")
    assert same(module, build(0))
    trained = build(2)
    module.load_state_dict(trained.state_dict())
    module.setup("fit")
    assert same(module, trained)
