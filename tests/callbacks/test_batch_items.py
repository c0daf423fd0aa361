from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jepa_lightning.callbacks.batch_items import described, find_item

Pair = namedtuple("Pair", "image label")


@pytest.mark.parametrize(
    ("batch", "item"),
    [
        ((7, 8), 1), ([7, 8], -1), ({"label": 8}, "label"), ({1: 8}, 1), (Pair(7, 8), "label"), (Pair(7, 8), 1),
        (SimpleNamespace(label=8), "label"),
    ],
)  # fmt: skip
def test_items_by_index_key_or_field(batch: Any, item: Any) -> None:
    assert find_item(batch, item) == 8


@pytest.mark.parametrize(
    ("batch", "item"), [((7,), 1), ({"a": 1}, 0), (Pair(7, 8), "y"), (torch.zeros(2, 3), 1), (3, 0), ("text", 0)]
)
def test_what_is_not_there(batch: Any, item: Any) -> None:
    with pytest.raises(LookupError):
        find_item(batch, item)


def test_batches_in_messages() -> None:
    image = torch.zeros(2, 3)
    assert described([image, None]) == "a list of 2 (a tensor [2, 3], None)"
    assert (
        described({"image": image, "meta": [1]})
        == "a dict of 2 ('image': a tensor [2, 3], 'meta': a list of 1 (an int))"
    )
    assert described(Pair(image, "a")) == "a Pair of 2 (image: a tensor [2, 3], label: a str)"
