"""The card of a model: its recipe, its data, what probes have read from it, and what made it."""

from collections.abc import Mapping
from platform import python_version
from typing import Any

import lightning
import timm
import torch
import yaml
from huggingface_hub import ModelCard, ModelCardData

import jepa_lightning
from jepa_lightning.checkpoints import class_path

HEAD = ModelCardData(library_name="jepa_lightning", tags=["jepa", "self-supervised-learning", "model_hub_mixin"])
USAGE = """from {module} import {name}

module = {name}.from_pretrained("DIR")  # this folder, or its name on the hub
features = module(module.preprocess(images))  # [B, D]"""


def model_card(module: Any, dataset: str | None = None, results: Mapping[str, float] | None = None) -> ModelCard:
    """The card of a module, from what is known of its run.

    Args:
        module: attached to the Trainer that has trained it, or not.
        dataset: what it was trained on; None takes the DataModule of the Trainer.
        results: by name; None takes the metrics of the Trainer's last validation and test.
    """
    trainer = _trainer(module)
    path, _, name = class_path(type(module)).rpartition(".")
    if path.startswith("jepa_lightning."):
        path = "jepa_lightning"
    results = _metrics(trainer) if results is None else results
    recipe = yaml.safe_dump(_plain(dict(module.hparams)), sort_keys=True).strip()
    parts = [
        f"---\n{HEAD.to_yaml()}\n---\n",
        f"# {name}\n",
        (type(module).__doc__ or "").strip().partition("\n")[0],
        f"\n## Use\n\n```python\n{USAGE.format(module=path, name=name)}\n```\n",
        f"## Data\n\n{dataset or _dataset(trainer)}\n",
        f"## Results\n\n{_table(results)}\n",
        f"## Recipe\n\n```yaml\n{recipe}\n```\n",
        f"## Versions\n\n{_versions(trainer)}\n",
    ]
    return ModelCard("\n".join(parts))


def _trainer(module: Any) -> Any:
    try:
        return module.trainer
    except RuntimeError:  # there is none
        return None


def _metrics(trainer: Any) -> dict[str, float]:
    logged = {} if trainer is None else trainer.callback_metrics
    return {name: float(value) for name, value in logged.items() if name.startswith(("val/", "test/", "collapse/"))}


def _dataset(trainer: Any) -> str:
    data = getattr(trainer, "datamodule", None)
    if data is None:
        return "Not recorded: this folder was written without the Trainer of the run."
    options = {name: value for name, value in dict(data.hparams).items() if isinstance(value, (int, float, str, bool))}
    said = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"`{type(data).__name__}({said})`"


def _table(results: Mapping[str, float]) -> str:
    if not results:
        return "Not recorded."
    rows = [f"| {_cell(name)} | {value:.4g} |" for name, value in sorted(results.items())]
    return "\n".join(["| measured | value |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    """A name in one cell of a table."""
    return text.replace("|", "\\|")


def _versions(trainer: Any) -> str:
    made = {
        "jepa_lightning": jepa_lightning.__version__,
        "lightning": lightning.__version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "Python": python_version(),
    }
    steps = "" if trainer is None else f" Written at step {trainer.global_step}."
    return ", ".join(f"{name} {version}" for name, version in made.items()) + f".{steps}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
