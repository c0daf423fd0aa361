import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.nn import ImpalaEncoder


def slow(network: ImpalaEncoder, x: Tensor) -> Tensor:
    """Stage by stage from the weights alone."""
    weights = dict(network.named_parameters())

    def conv(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    for stage in range(3):
        x = conv(x, f"stages.{stage}.0")
        padded = F.pad(x, (1, 1, 1, 1), value=-torch.inf)
        rows, columns = ((size + 1) // 2 for size in x.shape[2:])
        places = [
            padded[..., i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for i in range(3) for j in range(3)
        ]
        x = torch.stack(places).amax(dim=0)
        for block in (2, 3):
            inner = conv(x.clamp_min(0), f"stages.{stage}.{block}.conv1")
            x = x + conv(inner.clamp_min(0), f"stages.{stage}.{block}.conv2")
    return (x.flatten(1) @ weights["linear.weight"].T + weights["linear.bias"])[:, None]


@pytest.mark.parametrize(("size", "channels"), [((65, 65), 2), ((32, 48), 3), ((7, 5), 1)])
def test_equals_stages_computed_from_the_weights(size: tuple[int, int], channels: int) -> None:
    network, x = ImpalaEncoder(size, channels, width=6, channels=(2, 3, 4)), torch.randn(2, channels, *size)
    torch.testing.assert_close(network(x), slow(network, x), rtol=1e-4, atol=1e-5)


def test_has_the_size_of_the_papers() -> None:
    network = ImpalaEncoder((65, 65), 2)
    assert [stage[0].out_channels for stage in network.stages] == [16, 32, 32]
    assert (network.linear.in_features, network.linear.out_features) == (32 * 9 * 9, 512)


def test_another_image_size_is_refused() -> None:
    with pytest.raises(ValueError, match="built for images of 9x9, got 9x10: set image_size"):
        ImpalaEncoder((9, 9), 1, width=4)(torch.zeros(1, 1, 9, 10))
