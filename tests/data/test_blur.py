import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from jepa_lightning.data.blur import SeparableGaussianBlur

CASES = pytest.mark.parametrize(
    ("size", "kernel", "sigma"),
    [((224, 224), 23, 0.1), ((224, 224), 23, 2.0), ((96, 64), 7, 1.3), ((64, 200), 7, 0.5), ((12, 9), 17, 1.9)],
)


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@CASES
@pytest.mark.parametrize("channels", [1, 3, 13])
def test_equals_torchvisions_on_uint8_within_one_level(
    size: tuple[int, int], kernel: int, sigma: float, channels: int
) -> None:
    image = noise(channels, *size)
    found = SeparableGaussianBlur(kernel, (sigma, sigma))(image)
    expected = v2.functional.gaussian_blur(image, [kernel, kernel], [sigma, sigma])
    assert found.dtype == torch.uint8
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found != expected).float().mean() < 1e-3  # where a value lies at a half


@CASES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torchvisions_on_floats(size: tuple[int, int], kernel: int, sigma: float, dtype: torch.dtype) -> None:
    image = noise(2, 3, *size).to(dtype) / 255
    found = SeparableGaussianBlur(kernel, (sigma, sigma))(image)
    expected = v2.functional.gaussian_blur(image, [kernel, kernel], [sigma, sigma])
    torch.testing.assert_close(found.as_subclass(Tensor), expected, rtol=0, atol=2e-6)


def test_draws_sigma_as_torchvision_does() -> None:
    image = noise(3, 64, 64)
    for seed in range(5):
        torch.manual_seed(seed)
        found = SeparableGaussianBlur(7, (0.1, 2.0))(image)
        torch.manual_seed(seed)
        expected = v2.GaussianBlur(7, sigma=(0.1, 2.0))(image)
        assert (found.int() - expected.int()).abs().max() <= 1
        assert (found.int() - image.int()).abs().max() > 1 or seed > 0
