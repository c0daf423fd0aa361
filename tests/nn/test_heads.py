import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jepa_lightning.nn import PrototypeHead, mlp_head, projection_head


def test_two_layers_with_a_normalized_hidden_one():
    torch.manual_seed(0)
    head = projection_head(6, 10, 4)
    features = torch.randn(8, 6)
    first, norm, _, second = head
    hidden = features @ first.weight.T + first.bias
    hidden = (hidden - hidden.mean(0)) / torch.sqrt(hidden.var(0, correction=0) + norm.eps)
    expected = F.gelu(hidden) @ second.weight.T + second.bias
    torch.testing.assert_close(head(features), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (8, 4)


def layout(head: nn.Sequential) -> list[str]:
    """What each layer is: widths and bias of a linear one, width and scale of a normalization."""
    names = []
    for layer in head:
        if isinstance(layer, nn.Linear):
            bias = "+" if layer.bias is not None else ""
            names.append(f"{layer.in_features}>{layer.out_features}{bias}")
        elif isinstance(layer, nn.BatchNorm1d):
            names.append(f"norm{layer.num_features}{'+' if layer.affine else ''}")
        else:
            names.append(type(layer).__name__)
    return names


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "6>9 norm9+ ReLU 9>8 norm8+ ReLU 8>4+"),
        ({"last_norm": True}, "6>9 norm9+ ReLU 9>8 norm8+ ReLU 8>4 norm4"),
        ({"norm": False}, "6>9+ ReLU 9>8+ ReLU 8>4+"),
        ({"norm": False, "last_norm": True}, "6>9+ ReLU 9>8+ ReLU 8>4 norm4"),
        ({"last_bias": False}, "6>9 norm9+ ReLU 9>8 norm8+ ReLU 8>4"),
    ],
)
def test_mlp_head_has_a_bias_where_no_normalization_follows(options: dict[str, bool], expected: str) -> None:
    assert layout(mlp_head([6, 9, 8, 4], **options)) == expected.split()


def test_mlp_head_of_two_widths_is_one_layer_and_all_its_parameters_get_gradients() -> None:
    assert layout(mlp_head([6, 4])) == ["6>4+"]
    torch.manual_seed(0)
    head = mlp_head([6, 9, 4], last_norm=True)
    out = head(torch.randn(8, 6))
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(4), atol=1e-6, rtol=0)
    (out * torch.randn(8, 4)).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in head.parameters())


def test_prototype_head_gives_slow_cosines() -> None:
    torch.manual_seed(0)
    head, features = PrototypeHead(6, hidden=9, bottleneck=4, prototypes=7), torch.randn(5, 6)
    first, _, second, _, third = head.mlp
    out = head(features)
    assert out.shape == (5, 7)
    assert out.abs().max() <= 1 + 1e-6
    for i, feature in enumerate(features):
        hidden = F.gelu(second(F.gelu(first(feature))))
        bottleneck = third.weight @ hidden + third.bias
        for j, prototype in enumerate(head.prototypes.weight):
            cosine = bottleneck @ prototype / (bottleneck.norm() * prototype.norm())
            torch.testing.assert_close(out[i, j], cosine, atol=1e-5, rtol=1e-5)


def test_prototype_head_reaches_1_and_minus_1_at_any_length() -> None:
    torch.manual_seed(0)
    head = PrototypeHead(4, bottleneck=4, prototypes=2, layers=1)
    with torch.no_grad():
        head.mlp[0].weight.copy_(torch.eye(4))
        head.prototypes.weight.copy_(torch.tensor([[9.0, 0, 0, 0], [0, 0.01, 0, 0]]))
    features = torch.tensor([[0.1, 0, 0, 0], [0, -50.0, 0, 0], [3.0, 4.0, 0, 0]])
    torch.testing.assert_close(head(features), torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.6, 0.8]]))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_prototype_head_starts_from_small_weights_without_shift(layers: int) -> None:
    torch.manual_seed(0)
    linear = [layer for layer in PrototypeHead(64, 64, 64, 8, layers=layers).mlp if isinstance(layer, nn.Linear)]
    assert len(linear) == layers
    for layer in linear:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not layer.bias.any()


def test_autocast_does_not_coarsen_cosines_with_prototypes() -> None:
    torch.manual_seed(0)
    head = PrototypeHead(16, hidden=32, bottleneck=8, prototypes=500)
    features = torch.randn(4, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cosines = head(features)
        bottleneck = head.mlp(features).float()
    assert cosines.dtype == torch.float32
    exact = F.cosine_similarity(bottleneck[:, None].double(), head.prototypes.weight.double(), dim=-1)
    torch.testing.assert_close(cosines.double(), exact, rtol=0, atol=1e-6)
