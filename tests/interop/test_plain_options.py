"""Options of JSON with the types that a signature declares."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import pytest

from jepa_lightning import IJEPA
from jepa_lightning.interop.plain_options import options_from_json
from jepa_lightning.options import Ascending, Interval

Share = Annotated[float, Interval("[0, 1]")]


class Base:
    def __init__(
        self, ema: Annotated[tuple[Share, Share], Ascending()] = (0.0, 1.0), many: tuple[int, ...] = ()
    ) -> None:
        """Options of a base."""


class Owner(Base):
    def __init__(
        self,
        size: int | tuple[int, int] = 3,
        maybe: Annotated[tuple[Share, Share], Ascending()] | None = None,
        nested: tuple[tuple[int, int], str] = ((1, 2), ""),
        listed: Sequence[int] = (),
        plain: Any = None,
        empty: tuple[()] = (),
        pairs: tuple[tuple[int, int], ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("size", 3, 3),
        ("size", [3, 4], (3, 4)),
        ("maybe", None, None),
        ("maybe", [0.5, 1.0], (0.5, 1.0)),
        ("nested", [[1, 2], "a"], ((1, 2), "a")),
        ("many", [1, 2, 3], (1, 2, 3)),
        ("many", [], ()),
        ("pairs", [[1, 2], [3, 4]], ((1, 2), (3, 4))),
        ("ema", [0.5, 1.0], (0.5, 1.0)),  # of the base
        ("ema", [0.5, 1.0, 2.0], (0.5, 1.0, 2.0)),  # what is too much stays, and is refused with its option
        ("size", [1, 2, 3], (1, 2, 3)),
        ("size", [1], (1,)),
        ("empty", [1], (1,)),
        ("ema", "ab", "ab"),
        ("ema", {"a": 1}, {"a": 1}),
        ("listed", [1, 2], [1, 2]),
        ("plain", [1, [2]], [1, [2]]),
        ("unknown", [1, 2], [1, 2]),
    ],
)
def test_lists_become_tuples_where_the_signature_has_tuples(name: str, value: Any, found: Any) -> None:
    again = options_from_json(Owner, {name: value})
    assert again == {name: found}
    assert type(again[name]) is type(found)


def test_options_of_a_module_come_back(ijepa: IJEPA) -> None:
    options = dict(ijepa.hparams)
    again = options_from_json(IJEPA, json.loads(json.dumps(options)))
    assert again == options
    assert {name: type(value) for name, value in again.items()} == {
        name: type(value) for name, value in options.items()
    }
