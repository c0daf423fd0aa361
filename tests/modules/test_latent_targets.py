from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import IJEPA
from jepa_lightning.modules.frozen_encoder import FrozenEncoder

Build = Callable[..., Any]


class Own(nn.Module):
    """An encoder of the user's own, which gives its output alone."""

    width, grid_size = 48, (4, 4)

    def __init__(self, tokens: int = 16) -> None:
        super().__init__()
        self.layer, self.tokens = nn.Linear(3 * 64, 48), tokens

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        patches = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        tokens: Tensor = self.layer(patches)[:, : self.tokens]
        return tokens if keep is None else tokens.gather(1, keep[..., None].expand(-1, -1, 48))


def normalized(row: list[float]) -> list[float]:
    mean = sum(row) / len(row)
    variance = sum((value - mean) ** 2 for value in row) / len(row)
    return [(value - mean) / (variance + 1e-5) ** 0.5 for value in row]


@pytest.mark.parametrize("options", [{"target_layers": 1}, {"target_layers": 3}, {"levels": [0, -1]}])
def test_targets_equal_those_of_a_loop_over_tokens(tiny_ijepa: Build, options: dict[str, Any]) -> None:
    model = tiny_ijepa(depth=3, **options)
    with torch.no_grad():  # norms at their start leave nothing to normalize
        for name, parameter in model.target_encoder.named_parameters():
            if "norm" in name:
                parameter.add_(torch.rand_like(parameter))
    view = torch.randn(2, 3, 32, 32)
    layers = model.encode_target(view)
    found = model.target_tokens(layers)
    for image in range(2):
        for place in range(16):
            rows = [normalized(each[image, place].tolist()) for each in layers]
            if "levels" in options:
                expected = rows[0] + rows[1]
            else:
                expected = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
                expected = normalized(expected) if len(rows) > 1 else expected
            torch.testing.assert_close(found[image, place], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_the_layers_are_the_last_ones_or_those_that_are_named(tiny_ijepa: Build) -> None:
    view = torch.randn(2, 3, 32, 32)
    last = tiny_ijepa(depth=3, target_layers=2)
    for found, other in zip(last.encode_target(view), last.target_encoder(view, layers=[1, 2]), strict=True):
        assert torch.equal(found, other)
    named = tiny_ijepa(depth=3, levels=[-3, -1])
    assert named.levels == [0, 2]
    for found, other in zip(named.encode_target(view), named.target_encoder(view, layers=[0, 2]), strict=True):
        assert torch.equal(found, other)


def test_a_single_image_that_is_no_square_in_half_precision(tiny_ijepa: Build) -> None:
    model = tiny_ijepa(image_size=(32, 64), target_layers=2).bfloat16()
    layers = model.encode_target(torch.randn(1, 3, 32, 64).bfloat16())
    assert [(each.dtype, tuple(each.shape)) for each in layers] == [(torch.bfloat16, (1, 32, 48))] * 2
    found = model.target_tokens(layers)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.square().mean(dim=-1), torch.ones(1, 32), atol=1e-3, rtol=0)
    assert model.grid_of(torch.randn(1, 3, 32, 64)) == model.grid_size == (4, 8)


def test_no_gradient_reaches_targets_of_weights_that_have_one(tiny_ijepa: Build) -> None:
    model = tiny_ijepa(target_layers=2)
    model.target_encoder.requires_grad_(True)
    view = torch.randn(2, 3, 32, 32, requires_grad=True)
    assert not any(each.requires_grad for each in model.encode_target(view))


def test_features_are_those_of_the_output_and_none_of_a_teacher(tiny_ijepa: Build) -> None:
    view = torch.randn(2, 3, 32, 32)
    model = tiny_ijepa(target_layers=2)
    features, tokens = model.features_of(model.encode_target(view))
    torch.testing.assert_close(tokens, model.target_encoder(view))
    torch.testing.assert_close(features, tokens.mean(dim=1))
    teacher = FrozenEncoder("jepa_lightning.modules.ijepa.IJEPA", {**dict(tiny_ijepa().hparams), "width": 24})
    student = tiny_ijepa(teacher=teacher)
    (found,) = student.encode_target(view)
    assert torch.equal(found, teacher(view))
    assert student.encoder_width == 48
    assert student.features_of([found]) == (None, None)
    assert not student.train().teacher.training
    owned = {id(p) for group in student.optimizer_groups() for p in group["params"]}
    assert owned.isdisjoint(map(id, teacher.parameters()))


def test_an_encoder_of_ones_own_has_its_output_as_target(tiny_ijepa: Build) -> None:
    sizes = {"width": None, "depth": None, "heads": None}
    model = tiny_ijepa(encoder=Own(), **sizes)
    (found,) = model.encode_target(torch.randn(2, 3, 32, 32))
    assert found.shape == (2, 16, 48)
    with pytest.raises(ValueError, match=r"^target_layers=2, and .*Own gives no outputs of its blocks .*: leave targ"):
        tiny_ijepa(encoder=Own(), target_layers=2, **sizes)
    with pytest.raises(ValueError, match=r"^levels=\[0, -1\], and .*Own has no norm for each of them: leave levels"):
        tiny_ijepa(encoder=Own(), levels=[0, -1], **sizes)
    short = tiny_ijepa(encoder=Own(tokens=15), **sizes)
    with pytest.raises(ValueError, match=r"Own gives \[2, 15, 48\] for 2 whole views, .* which are \[2, 16, 48\]"):
        short.encode_target(torch.randn(2, 3, 32, 32))


def test_as_many_layers_as_there_are_blocks_and_none_beside_a_teacher(tiny_ijepa: Build) -> None:
    assert len(tiny_ijepa(target_layers=2).encode_target(torch.randn(1, 3, 32, 32))) == 2
    with pytest.raises(ValueError, match="target_layers=3 is not from 1 to the encoder's 2 blocks"):
        tiny_ijepa(target_layers=3)
    teacher = FrozenEncoder("jepa_lightning.modules.ijepa.IJEPA", dict(tiny_ijepa().hparams))
    with pytest.raises(ValueError, match="levels and target_layers cannot be set beside a teacher"):
        tiny_ijepa(teacher=teacher, target_layers=2)


def test_options_hold_how_the_teacher_is_built(tiny_ijepa: Build) -> None:
    teacher = FrozenEncoder("jepa_lightning.modules.ijepa.IJEPA", dict(tiny_ijepa(mean=[0.1, 0.2, 0.3]).hparams))
    student = tiny_ijepa(teacher=teacher)
    assert student.hparams["teacher"]["class_path"].endswith(".FrozenEncoder")
    assert student.mean == (0.1, 0.2, 0.3)
    again = IJEPA(**dict(student.hparams))
    again.load_state_dict(student.state_dict())
    view = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.encode_target(view)[0], teacher(view))
    assert tiny_ijepa().hparams["teacher"] is None
