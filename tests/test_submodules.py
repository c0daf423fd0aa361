import pytest
from torch import nn

from jepa_lightning.submodules import submodule


def test_dotted_names_and_the_module_itself() -> None:
    module = nn.Sequential(nn.Sequential(nn.ReLU()))
    assert submodule(module, "0.0") is module[0][0]
    assert submodule(module, "") is module


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"Sequential has no submodule 'backbone': its submodules are 0\."):
        submodule(nn.Sequential(nn.ReLU()), "backbone")
