import pytest
from torch import nn

from jepa_lightning import IJEPA
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.named_class import named_method, named_network


@pytest.mark.parametrize("name", ["IJEPA", "jepa_lightning.IJEPA", "jepa_lightning.modules.ijepa.IJEPA"])
def test_methods_of_this_package_need_no_path(name: str) -> None:
    assert named_method(name) is IJEPA


def test_networks_are_named_by_their_path() -> None:
    assert named_network("torch.nn.Linear") is nn.Linear


@pytest.mark.parametrize("name", ["Missing", "no_such_package.Own", "jepa_lightning.Missing", ".IJEPA", "json."])
def test_a_class_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(UsageError, match=f"^there is no class {name} ") as error:
        named_method(name)
    assert "\n" not in str(error.value)


def test_a_class_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^torch\.nn\.Linear is no JEPAModule\.$"):
        named_method("torch.nn.Linear")
    with pytest.raises(UsageError, match=r"^json\.JSONDecoder is no nn\.Module\.$"):
        named_network("json.JSONDecoder")
