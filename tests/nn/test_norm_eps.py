from typing import Any

import pytest

from jepa_lightning.nn.norm_eps import saved_norm_eps


@pytest.mark.parametrize("value", ["small", -1.0, True, float("nan"), float("inf")])
def test_options_of_a_file_that_are_none_are_refused(value: Any) -> None:
    assert saved_norm_eps({"norm_eps": 0}) == 0
    assert saved_norm_eps({}) == saved_norm_eps(None) == 1e-6
    with pytest.raises(ValueError, match=r"norm_eps=.*: it must be a finite number of at least 0\."):
        saved_norm_eps({"norm_eps": value})
