# S samples in the bank, Q queries, D width, K columns of a label, k neighbors
"""Nearest neighbors by cosine, exact, in blocks of queries."""

from collections.abc import Iterator, Sequence
from itertools import product

from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.probing.label_kinds import LabelKind

BLOCK = 2**25  # numbers of a block of cosines, about 128 MB

Choice = tuple[int, float]  # k and temperature


def neighbor_outputs(
    bank: Tensor,
    target: Tensor,
    queries: Tensor,
    kind: LabelKind,
    ks: Sequence[int],
    temperatures: Sequence[float],
) -> Iterator[tuple[slice, dict[Choice, Tensor]]]:
    """What the nearest samples of a bank say about each query, for each number of neighbors and temperature.

    They vote with weights ``exp(cosine / temperature)``; for values it is their weighted mean. Each query is compared
    with the whole bank, in blocks of queries whose cosines take 128 MB.

    Args:
        bank: ``[S, D]``; all of them have the label.
        target: of the bank, as ``kind`` takes it.
        queries: ``[Q, D]``.
        kind: of the label.
        ks: numbers of neighbors; those above S are S.
        temperatures: of the weights.

    Yields:
        Which queries, and their outputs ``[rows, size of the kind]`` by k and temperature: all of them at once would be
        many times as large as the features.

    Example:
        >>> import torch
        >>> from jepa_lightning.probing.label_kinds import ClassLabel
        >>> bank, target, queries = torch.eye(3), torch.tensor([0, 1, 2]), torch.tensor([[0.0, 2.0, 1.0]])
        >>> for rows, found in neighbor_outputs(bank, target, queries, ClassLabel(3), [1], [0.1]):
        ...     print(found[1, 0.1].argmax().item())
        1
    """
    bank = F.normalize(bank, dim=1)
    grid = list(product(ks, temperatures))
    most = min(max(ks), len(bank))
    step = max(1, BLOCK // max(1, len(bank)))
    for begin in range(0, len(queries), step):
        rows = slice(begin, begin + step)
        cosine, nearest = (F.normalize(queries[rows], dim=1) @ bank.T).topk(most, dim=1)
        labels = target[nearest]
        found: dict[Choice, Tensor] = {}
        for k, temperature in grid:
            # at most 1, so that no temperature is too low
            weights = ((cosine[:, :k] - cosine[:, :1]) / temperature).exp()
            found[k, temperature] = kind.from_neighbors(weights, labels[:, :k])
        yield rows, found
