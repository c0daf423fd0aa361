import numpy as np
import pytest
import torch

from jepa_lightning.losses import normalize_targets


def test_equals_a_slow_loop_over_vectors():
    features = torch.randn(2, 3, 4, 7) * 5 + 2
    normed = normalize_targets(features)
    for index in np.ndindex(2, 3, 4):
        vector = features[index].numpy().astype(np.float64)
        slow = (vector - vector.mean()) / np.sqrt(((vector - vector.mean()) ** 2).mean() + 1e-5)
        np.testing.assert_allclose(normed[index].numpy(), slow, atol=1e-5)


def test_the_scale_of_the_features_does_not_matter():
    torch.manual_seed(0)
    features = torch.randn(4, 16)
    torch.testing.assert_close(normalize_targets(1000 * features + 3), normalize_targets(features), atol=1e-4, rtol=0)


def test_constant_features_give_zeros():
    assert normalize_targets(torch.full((2, 8), 3.0)).abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_normalized_in_float32(dtype):
    features = torch.randn(8, 64).to(dtype)
    normed = normalize_targets(features)
    assert normed.dtype == torch.float32
    torch.testing.assert_close(normed, normalize_targets(features.float()), atol=0, rtol=0)
