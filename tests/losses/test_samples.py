import pytest
import torch

from jepa_lightning.losses.samples import check_samples


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((3,), "BD", r"loss takes \[B, D\], got a tensor of shape \(3,\)"),
        ((3, 4), "BND", r"loss takes \[B, N, D\], got a tensor of shape \(3, 4\)"),
        ((1, 4), "BD", "loss is a statistic over the batch and needs at least 2 samples, got 1"),
    ],
)
def test_other_axes_and_too_few_samples_are_refused(shape, axes, message):
    with pytest.raises(ValueError, match=message):
        check_samples("loss", torch.zeros(shape), axes)


def test_enough_samples_pass():
    check_samples("loss", torch.zeros(2, 4))
    check_samples("loss", torch.zeros(1, 4), least=1)
