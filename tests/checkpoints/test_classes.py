import sys
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.checkpoints.classes import check_classes, import_classes


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": {"class_path": "tests_not_imported.Net", "init_args": {}}},
        {"more": [{"deep": {"class_path": "tests_not_imported.Net"}}]},
        {"more": {"class_path": "Net"}},
    ],
)
def test_a_class_of_a_module_that_is_not_imported_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"last.ckpt names the class .*Net for its option (encoder|more)"):
        check_classes({"lr": 1e-3, **options}, "last.ckpt")
    assert "tests_not_imported" not in sys.modules


def test_a_class_of_an_imported_module_passes() -> None:
    check_classes({"encoder": {"class_path": "torch.nn.Linear", "init_args": {"in_features": 3}}, "lr": None}, "x")


def test_classes_of_a_configuration_are_imported(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "own_networks_of_test.py").write_text("class Net: ...")
    monkeypatch.syspath_prepend(tmp_path)
    options = {"init_args": {"encoder": {"class_path": "own_networks_of_test.Net"}, "x": {"class_path": "no_module.X"}}}
    import_classes(options)
    check_classes({"encoder": options["init_args"]["encoder"]}, "x")
    del sys.modules["own_networks_of_test"]
