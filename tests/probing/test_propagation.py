import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_jaccard_index

from jepa_lightning.probing.propagation import Propagation, contour_accuracy, propagate, region_similarity


def slow(tokens: torch.Tensor, labels: torch.Tensor, grid: tuple[int, int], options: Propagation) -> torch.Tensor:
    """One token of one frame at a time."""
    found = [labels]
    for t in range(1, len(tokens)):
        past = [0, *range(max(1, t - options.context), t)]
        rows = []
        for n in range(len(labels)):
            pairs = []
            for s in past:
                for m in range(len(labels)):
                    if max(abs(n // grid[1] - m // grid[1]), abs(n % grid[1] - m % grid[1])) <= options.radius:
                        pairs.append((F.cosine_similarity(tokens[t, n], tokens[s, m], dim=0).item(), found[s][m]))
            best = sorted(pairs, key=lambda pair: -pair[0])[: options.k]
            votes = torch.tensor([np.exp(cosine / options.temperature) for cosine, _ in best]).float()
            rows.append(sum(vote * label for vote, (_, label) in zip(votes / votes.sum(), best, strict=True)))
        found.append(torch.stack(rows))
    return torch.stack(found)


@pytest.mark.parametrize("options", [Propagation(2, 1, 3, 0.2), Propagation(1, 12, 100, 0.5)])
def test_labels_are_those_of_a_loop_over_tokens(options: Propagation) -> None:
    torch.manual_seed(0)
    tokens, labels = torch.randn(5, 12, 6), torch.rand(12, 3)
    torch.testing.assert_close(propagate(tokens, labels, (3, 4), options), slow(tokens, labels, (3, 4), options))


def test_an_object_that_moves_is_followed() -> None:
    tokens = torch.zeros(4, 16, 2)
    tokens[..., 0] = 1
    for t in range(4):
        tokens[t, 4 + t] = torch.tensor([0.0, 1.0])
    labels = F.one_hot((tokens[0, :, 1] > 0).long(), 2).float()
    found = propagate(tokens, labels, (4, 4), Propagation(k=1)).argmax(dim=2)
    assert torch.equal(found, (tokens[..., 1] > 0).long())


def test_j_is_the_jaccard_index_of_torchmetrics() -> None:
    torch.manual_seed(0)
    found, truth = torch.rand(3, 9, 7) > 0.5, torch.rand(3, 9, 7) > 0.5
    expected = torch.stack([binary_jaccard_index(a.long(), b.long()) for a, b in zip(found, truth, strict=True)])
    torch.testing.assert_close(region_similarity(found, truth), expected)
    nothing = torch.zeros(1, 9, 7, dtype=torch.bool)
    assert region_similarity(nothing, nothing).item() == 1


def test_f_is_that_of_distances_between_contours() -> None:
    torch.manual_seed(0)
    blob = F.avg_pool2d(torch.rand(4, 1, 40, 50), 9, 1, 4)[:, 0]
    found, truth = blob > 0.5, blob.roll(1, dims=2) > 0.505

    def contour(mask: np.ndarray) -> np.ndarray:
        edge = np.zeros_like(mask)
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                down, right = min(y + 1, mask.shape[0] - 1), min(x + 1, mask.shape[1] - 1)
                edge[y, x] = any(mask[y, x] != mask[b, a] for b, a in ((y, right), (down, x), (down, right)))
        return edge

    for share in (0.008, 0.05):
        reach = np.ceil(share * np.hypot(40, 50))
        expected = []
        for one, other in zip(found.numpy(), truth.numpy(), strict=True):
            edges = contour(one), contour(other)
            precision = (distance_transform_edt(~edges[1])[edges[0]] <= reach).mean()
            recall = (distance_transform_edt(~edges[0])[edges[1]] <= reach).mean()
            expected.append(2 * precision * recall / (precision + recall))
        assert contour_accuracy(found, truth, share).tolist() == pytest.approx(expected, abs=1e-6)
    nothing = torch.zeros(1, 9, 7, dtype=torch.bool)
    assert contour_accuracy(nothing, nothing).item() == 1
    assert contour_accuracy(nothing, torch.eye(9, 7).bool()[None]).item() == 0
