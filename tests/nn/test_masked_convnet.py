import pytest
import torch
from torch import Tensor

from jepa_lightning.nn import MaskedConvNet


def build(**options: object) -> MaskedConvNet:
    torch.manual_seed(0)
    return MaskedConvNet(**{"image_size": (32, 48), "widths": (8, 16), "depths": (1, 2), **options}).eval()


def images(channels: int = 3) -> Tensor:
    return torch.randn(2, channels, 32, 48, generator=torch.Generator().manual_seed(0))


KEEP = torch.tensor([[0, 7, 13], [5, 1, 23]])


@torch.no_grad()
@pytest.mark.parametrize("hidden", [1e3, float("nan")])
def test_masked_pixels_change_no_kept_token(hidden: float) -> None:
    model, x = build(), images()
    assert (model.grid_size, model.patch, model.width) == ((4, 6), (8, 8), 16)
    other = torch.full_like(x, hidden)
    for sample, kept in enumerate(KEEP):
        for token in kept.tolist():
            place = (..., slice(8 * (token // 6), 8 * (token // 6) + 8), slice(8 * (token % 6), 8 * (token % 6) + 8))
            other[sample][place] = x[sample][place]
    torch.testing.assert_close(model(other, keep=KEEP), model(x, keep=KEEP), rtol=0, atol=0)
    assert not torch.allclose(model(other), model(x))


@torch.no_grad()
def test_tokens_come_in_the_order_of_the_indices() -> None:
    model, x = build(), images()
    torch.testing.assert_close(model(x, keep=KEEP.flip(1)).flip(1), model(x, keep=KEEP))
    everything = torch.arange(24).expand(2, -1)
    torch.testing.assert_close(model(x, keep=everything), model(x))


@torch.no_grad()
def test_neighbors_are_seen_where_they_are_kept() -> None:
    model, x = build(), images()
    alone, beside = model(x, keep=torch.tensor([[7]] * 2)), model(x, keep=torch.tensor([[7, 8]] * 2))
    assert (alone[:, 0] - beside[:, 0]).abs().max() > 1e-3


def test_arguments_build_it_again() -> None:
    model = build(in_channels=2)
    again = MaskedConvNet(**model.hparams)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(images(2)), model(images(2)))


def test_refuses_stages_and_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"widths \(8, 16\) and depths \(1,\) must have a number for each stage"):
        build(depths=(1,))
    with pytest.raises(ValueError, match="patch 8x8 does not divide an input of 30x48"):
        build(image_size=(30, 48))
