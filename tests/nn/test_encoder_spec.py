# B batch, N tokens, K kept tokens, D width
from typing import Any

import pytest
import torch
from lightning.pytorch.core.mixins import HyperparametersMixin
from torch import Tensor, nn

from jepa_lightning.nn.encoder_spec import check_encoder, create_encoder, encoder_spec


class Net(nn.Module, HyperparametersMixin):
    def __init__(self, width: int = 8, hidden: Any = (4,)) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.width, self.grid_size = width, (2, 2)
        self.linear = nn.Linear(3, width)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.linear(x)


class NoArguments(nn.Linear): ...


PATH = f"{__name__}.Net"


@pytest.mark.parametrize(
    ("encoder", "spec"),
    [
        ("vit_tiny", "vit_tiny"),
        (Net(5), {"class_path": PATH, "init_args": {"width": 5, "hidden": (4,)}}),
        (Net(hidden={"a": [1, None]}), {"class_path": PATH, "init_args": {"width": 8, "hidden": {"a": [1, None]}}}),
        (Net(hidden=torch.relu), {"class_path": PATH, "init_args": None}),
        (Net(hidden={1: "a"}), {"class_path": PATH, "init_args": None}),
        (NoArguments(2, 2), {"class_path": f"{__name__}.NoArguments", "init_args": None}),
        ({"class_path": "a.B"}, {"class_path": "a.B", "init_args": {}}),
        ({"class_path": "a.B", "init_args": {"c": 1}}, {"class_path": "a.B", "init_args": {"c": 1}}),
    ],
)
def test_what_a_checkpoint_holds_of_an_encoder(encoder: Any, spec: Any) -> None:
    assert encoder_spec(encoder) == spec


def test_a_class_inside_a_function_is_not_saved() -> None:
    class Inner(Net): ...

    assert encoder_spec(Inner())["init_args"] is None  # type: ignore[index]


def test_a_network_is_built_again_from_what_is_saved() -> None:
    again = create_encoder(encoder_spec(Net(5)))  # type: ignore[arg-type]
    assert type(again) is Net
    assert again.linear.weight.shape == (5, 3)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"class_path": "not_there.Net"}, "not_there.Net cannot be imported"),
        ({"class_path": f"{__name__}.Gone"}, "Gone cannot be imported"),
        ({"class_path": "Net"}, "Net is not the path of an nn.Module"),
        ({"class_path": "os.path.join"}, "os.path.join is not the path of an nn.Module"),
        ({"class_path": PATH, "init_args": None}, "the arguments of the encoder .*Net were not saved: pass encoder="),
    ],
)
def test_what_cannot_be_built_is_named(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        create_encoder(spec)


def test_an_encoder_of_whole_images_needs_no_grid() -> None:
    class Pooled(nn.Module):
        width = 4

        def forward(self, x: Tensor) -> Tensor:
            return x

    check_encoder(Pooled(), masked=False)
    with pytest.raises(
        ValueError, match="the encoder Pooled has no grid_size: an encoder says the width of its tokens"
    ):
        check_encoder(Pooled(), masked=True)
    Pooled.grid_size = (2, 2)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"Pooled\.forward has no argument keep"):
        check_encoder(Pooled(), masked=True)
    check_encoder(Net(), masked=True)
