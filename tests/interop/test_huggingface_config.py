"""What is read of a configuration of `transformers`, and how one that is damaged ends."""

from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.interop.huggingface_config import MOST_COUNT, check_config, image_size, whole_number

FOLDER = Path("given")
GOOD = {"num_attention_heads": 3, "layer_norm_eps": 1e-6}


@pytest.mark.parametrize(
    "config",
    [{}, {"layer_norm_eps": 0}, {"layer_norm_eps": 1e-12, "hidden_act": "gelu", "qkv_bias": True, "more": None}],
)
def test_networks_that_are_built_here(config: dict[str, Any]) -> None:
    check_config({**GOOD, **config}, FOLDER)


@pytest.mark.parametrize("name", GOOD)
def test_an_entry_that_is_missing_is_named(name: str) -> None:
    config = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(ValueError, match=rf"^cannot use given: its config\.json has no {name}\.$"):
        check_config(config, FOLDER)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(({"layer_norm_eps": value}, "a small number is what it should be") for value in (
            None, "1e-6", True, [1e-6], -1e-6, float("nan"), float("inf"), 1e6, 10**400,
        )),
        ({"hidden_act": "relu"}, r"its hidden_act is 'relu', and 'gelu' is what is built here"),
        ({"hidden_act": None}, r"its hidden_act is None"),
        ({"qkv_bias": False}, r"its qkv_bias is False, and True is what is built here"),
        ({"qkv_bias": []}, r"its qkv_bias is \[\]"),
    ],
)  # fmt: skip
def test_networks_of_another_kind_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        check_config({**GOOD, **change}, FOLDER)
    assert str(error.value).startswith("cannot use given: its ")


@pytest.mark.parametrize("value", [None, True, "3", [3], 3.0, 0, -3, MOST_COUNT + 1, 10**400, float("nan"), {}])
def test_a_whole_number_is_one(value: Any) -> None:
    assert [whole_number({"a": number}, "a", FOLDER) for number in (1, 3, MOST_COUNT)] == [1, 3, MOST_COUNT]
    with pytest.raises(
        ValueError, match=r"^cannot use given: its a is .*, and a whole number of 1 to 16384 is what it"
    ):
        whole_number({"a": value}, "a", FOLDER)


@pytest.mark.parametrize(
    ("said", "tokens", "size"),
    [(32, 16, (32, 32)), ([32, 48], 24, (32, 48)), ((16, 64), 16, (16, 64)), (35, 16, (35, 35))],
)
def test_images_are_of_the_size_of_the_table(said: Any, tokens: int, size: tuple[int, int]) -> None:
    assert image_size({"image_size": said}, 8, tokens, FOLDER) == size


@pytest.mark.parametrize(
    ("said", "patch", "tokens"),
    [
        (64, 8, 16), ([32], 8, 16), ([32, 32, 32], 8, 16), ([], 8, 1), (None, 8, 16), ("32", 8, 16), (32.0, 8, 16),
        (True, 1, 1), ([-32, -32], 8, 16), (0, 8, 0), (4, 8, 0), (32, 0, 16), (10**400, 8, 16), ({"height": 32}, 8, 16),
        ([True, 16], 1, 16),
    ],
)  # fmt: skip
def test_images_of_another_size_are_refused(said: Any, patch: int, tokens: int) -> None:
    with pytest.raises(ValueError, match=rf"has {tokens} patches of {patch} pixels\.$"):
        image_size({"image_size": said}, patch, tokens, FOLDER)


def test_a_size_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"its config\.json has no image_size"):
        image_size({}, 8, 16, FOLDER)
