from typing import Any

import pytest
from torch import nn

from jepa_lightning import IJEPA, MAE, JEPAModule, SimCLR

TINY = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}


@pytest.mark.parametrize("method", [IJEPA, MAE, SimCLR])
def test_an_option_of_a_subclass_is_set_before_networks_are_built_or_the_error_says_so(
    method: type[JEPAModule],
) -> None:
    class Own(method):  # type: ignore[valid-type,misc]
        def __init__(self, rate: float = 0.5, early: bool = True, **kwargs: Any) -> None:
            if early:
                self.rate = rate
            super().__init__(**kwargs)
            self.rate = rate

        def build_encoder(self) -> nn.Module:
            encoder: nn.Module = super().build_encoder()
            encoder.add_module("dropout", nn.Dropout(self.rate))
            return encoder

    assert Own(rate=0.25, **TINY).eval_encoder.dropout.p == 0.25
    with pytest.raises(AttributeError, match=r"no attribute 'rate': networks are built within super\(\)\.__init__\(\)"):
        Own(early=False, **TINY)


def test_other_errors_stay_as_they_are() -> None:
    class Broken(IJEPA):
        def build_encoder(self) -> nn.Module:
            return "no network".encoder  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match=r"'str' object has no attribute 'encoder'$"):
        Broken(**TINY)
