from typing import Any

import pytest
import yaml

from jepa_lightning.cli.config_form import check_form
from jepa_lightning.cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainer: []", "trainer: expected options, as in {max_steps: 8}, got []"),
        ("trainer: null", "trainer: expected options, as in {max_steps: 8}, got null"),
        ("trainer: 3", "trainer: expected options, as in {max_steps: 8}, got 3"),
        ("fit: {trainer: 3}", "trainer: expected options"),
        ("3: 4", "the key 3 is not text: "),
        ("model: 3", "model: expected the name of a class, or class_path and init_args, got 3"),
        ("model: [IJEPA]", "model: expected the name of a class, or class_path and init_args, got ['IJEPA']"),
        ("data: false", "data: expected the name of a class, or class_path and init_args, got False"),
        (
            "model: {class_path: IJEPA, init_arg: {}}",
            "model: there is no 'init_arg' beside class_path: did you mean '",
        ),
        ("model: {class_path: IJEPA, lr: 1}", "model: there is no 'lr' beside class_path."),
        ("model: {class_pat: IJEPA, init_args: {}}", "model: there is no 'class_pat' beside class_path: did you mean "),
        ("model: {class_path: [IJEPA]}", "model.class_path: expected the name of a class, got ['IJEPA']"),
        ("model: {class_path: IJEPA, init_args: null}", "model.init_args: expected options, as in {lr: 0.001}, got nu"),
        ("model: {class_path: IJEPA, dict_kwargs: 3}", "model.dict_kwargs: expected options, as in {lr: 0.001}, got 3"),
        ("trainer: {callbacks: [OnlineKNN, 3]}", "trainer.callbacks: expected the name of a class, or class_path and "),
        ("trainer: {callbacks: [null]}", "trainer.callbacks: expected the name of a class, or class_path and init_arg"),
        ("trainer: {callbacks: {}}", "trainer.callbacks: {} names no class: give its class_path."),
        ("trainer: {callbacks: [{init_args: {k: 3}}]}", "trainer.callbacks: {'init_args': {'k': 3}} names no class: "),
        ("trainer: {logger: [{}]}", "trainer.logger: {} names no class: give its class_path."),
    ],
)
def test_what_is_in_the_wrong_place_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_form(yaml.safe_load(text), "c.yaml")
    assert str(caught.value).startswith(f"c.yaml: {said}")


@pytest.mark.parametrize(
    "config",
    [
        {"trainer": "trainer.yaml", "model": "model.yaml", "data": None, "ckpt_path": "last"},
        {"trainer": {}, "model": {"lr": 0.1}, "data": {"init_args": {"batch_size": 2}}, "model.lr": 1},
        {"model": {"class_path": "IJEPA", "init_args.lr": 1, "dict_kwargs": {}}},
        {"trainer": {"callbacks": [{"class_path": "OnlineKNN"}, "Summary"], "logger": False}},
        {"trainer": {"callbacks": "Summary", "logger": {"class_path": "CSVLogger", "init_args": {}}}},
    ],
)
def test_every_way_to_give_options_and_classes_is_taken(config: dict[str, Any]) -> None:
    check_form(config, "c.yaml")
