"""The card of a model: its recipe, its data, what has been measured, and what made it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import torch
import yaml
from huggingface_hub import ModelCard

import jepa_lightning
from jepa_lightning import IJEPA
from jepa_lightning.callbacks import OnlineKNN
from jepa_lightning.interop.model_card import model_card


def section(card: ModelCard, title: str) -> str:
    return str(card.content).partition(f"## {title}\n\n")[2].partition("\n\n## ")[0].strip()


def test_a_module_without_a_trainer(ijepa: IJEPA) -> None:
    card = model_card(ijepa)
    assert card.data.library_name == "jepa_lightning"
    assert "model_hub_mixin" in card.data.tags
    assert "\n# IJEPA\n" in card.content
    assert "from jepa_lightning import IJEPA" in section(card, "Use")
    assert section(card, "Data").startswith("Not recorded")
    assert section(card, "Results") == "Not recorded."
    made = section(card, "Versions")
    assert f"jepa_lightning {jepa_lightning.__version__}, lightning {lightning.__version__}" in made
    assert "step" not in made


def test_the_recipe_is_yaml_of_all_options(ijepa: IJEPA) -> None:
    recipe = section(model_card(ijepa), "Recipe").removeprefix("```yaml\n").removesuffix("```")
    assert "!!python" not in recipe
    found = yaml.safe_load(recipe)
    assert found.keys() == ijepa.hparams.keys()
    assert found["ema"] == list(ijepa.hparams["ema"])


class Mine(IJEPA):
    """A class of a person's own.

    More on it.
    """


def test_a_class_of_ones_own_is_imported_from_its_module(ijepa: IJEPA) -> None:
    card = model_card(Mine(**dict(ijepa.hparams)))
    assert f"from {__name__} import Mine" in section(card, "Use")
    assert "\n# Mine\n\nA class of a person's own.\n\n## Use" in card.content


def test_results_are_a_table_in_the_order_of_their_names(ijepa: IJEPA) -> None:
    card = model_card(ijepa, "stripes", {"b": 0.123456, "a": 1, "c": float("nan")})
    assert section(card, "Data") == "stripes"
    rows = section(card, "Results").splitlines()
    assert rows == ["| measured | value |", "| --- | --- |", "| a | 1 |", "| b | 0.1235 |", "| c | nan |"]
    assert section(model_card(ijepa, results={}), "Results") == "Not recorded."


def test_bars_in_a_name_stay_in_their_cell(ijepa: IJEPA) -> None:
    assert "| a\\|b | 1 |" in section(model_card(ijepa, results={"a|b": 1.0}), "Results")


def test_metrics_of_the_trainer_are_those_of_validation_test_and_collapse(ijepa: IJEPA) -> None:
    metrics = {name: torch.tensor(0.5) for name in ("val/knn", "test/linear", "collapse/rank", "train/loss", "lr")}
    data: Any = type("Stripes", (), {})()
    data.hparams = {"number": 3, "path": "a", "views": [1, 2], "rate": 0.5}
    trainer = SimpleNamespace(callback_metrics=metrics, datamodule=data, global_step=7)
    module: Any = Mine(**dict(ijepa.hparams))
    module._trainer = trainer
    card = model_card(module)
    names = [row.split(" | ")[0] for row in section(card, "Results").splitlines()[2:]]
    assert names == ["| collapse/rank", "| test/linear", "| val/knn"]
    assert section(card, "Data") == "`Stripes(number=3, path='a', rate=0.5)`"
    assert section(card, "Versions").endswith("Written at step 7.")


def test_the_card_tells_recipe_data_results_and_versions(
    tiny_ijepa: Any, quiet_trainer: Any, shapes: Any, tmp_path: Path
) -> None:
    module = tiny_ijepa(lr=0.0123)
    quiet_trainer(max_epochs=1, callbacks=[OnlineKNN()]).fit(module, datamodule=shapes())
    module.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    for said in ("lr: 0.0123", "ShapesDataModule(", "| val/knn", f"torch {torch.__version__}", "library_name: jepa_l"):
        assert said in card
    (tmp_path / "model" / "README.md").write_text("mine")
    module.save_pretrained(tmp_path / "model", model_card_kwargs={"dataset": "stripes"})
    assert (tmp_path / "model" / "README.md").read_text() == "mine"
    module.save_pretrained(tmp_path / "other", model_card_kwargs={"dataset": "stripes", "results": {"kNN": 0.5}})
    assert "## Data\n\nstripes" in (tmp_path / "other" / "README.md").read_text()
