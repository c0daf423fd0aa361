# T frames, N tokens of a frame, h w of the grid, D width, O objects with the background, M tokens to compare with, k
"""Labels of the first frame of a video, carried on by nearest neighbors among the tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Propagation:
    """Options of the nearest neighbors.

    Attributes:
        context: frames just before the present one that are compared with, beside the first.
        radius: tokens along each axis within which neighbors are looked for.
        k: neighbors that vote.
        temperature: of their votes, ``exp(cosine / temperature)``.
    """

    context: int = 7
    radius: int = 12
    k: int = 5
    temperature: float = 0.1


def propagate(tokens: Tensor, labels: Tensor, grid: Sequence[int], options: Propagation) -> Tensor:
    """Shares of the objects in each token of each frame.

    Source: "Space-time correspondence as a contrastive random walk" (arXiv 2006.14613), as DINO and V-JEPA 2.1 have it:
    no training, tokens vote for those that are most like them.

    Args:
        tokens: ``[T, N, D]``.
        labels: shares of the objects in the tokens of the first frame, ``[N, O]``.
        grid: h and w.
        options: of the neighbors.

    Returns:
        ``[T, N, O]``; those of the first frame are as given.

    Example:
        >>> import torch
        >>> tokens = torch.eye(4)[None].expand(3, 4, 4)  # nothing moves
        >>> found = propagate(tokens, torch.eye(2).repeat(2, 1), (2, 2), Propagation(k=1))
        >>> found[-1].argmax(dim=1).tolist()
        [0, 1, 0, 1]
    """
    tokens = F.normalize(tokens.float(), dim=2)
    rows, columns = torch.meshgrid(*(torch.arange(side, device=tokens.device) for side in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1)
    far = (places[:, None] - places).abs().amax(dim=2) > options.radius
    found = [labels.float()]
    for frame in range(1, len(tokens)):
        past = sorted({0, *range(max(0, frame - options.context), frame)})
        cosine = tokens[frame] @ tokens[past].flatten(0, 1).T
        cosine = cosine.masked_fill(far.repeat(1, len(past)), -torch.inf)
        best, nearest = cosine.topk(min(options.k, int((~far).sum(dim=1).min()) * len(past)), dim=1)
        votes = (best / options.temperature).softmax(dim=1)
        known = torch.cat([found[each] for each in past])
        found.append(torch.einsum("nk,nko->no", votes, known[nearest]))
    return torch.stack(found)


def region_similarity(found: Tensor, truth: Tensor) -> Tensor:
    """J: intersection over union of an object in each frame, ``[T, H, W]`` of bools to ``[T]``; 1 where it is in none.

    Source: DAVIS, "A benchmark dataset and evaluation methodology for video object segmentation", 2016.
    """
    both, either = (found & truth).flatten(1).sum(dim=1), (found | truth).flatten(1).sum(dim=1)
    return (both / either.clamp(min=1)).where(either > 0, 1.0)


def contour_accuracy(found: Tensor, truth: Tensor, share: float = 0.008) -> Tensor:
    """F: F-measure of the contours of an object in each frame, ``[T, H, W]`` of bools to ``[T]``.

    Contours match within a distance of ``share`` of the image's diagonal, rounded up to pixels. Source: as of
    ``region_similarity``, whose code has the same contours and rounding.
    """
    reach = int(-(-share * (found.shape[1] ** 2 + found.shape[2] ** 2) ** 0.5 // 1))
    edges = [_contour(each) for each in (found, truth)]
    near = [_dilated(each, reach) for each in edges]
    hits = [(edge & other).flatten(1).sum(dim=1) for edge, other in zip(edges, reversed(near), strict=True)]
    sizes = [edge.flatten(1).sum(dim=1) for edge in edges]
    precision, recall = (
        (hit / size.clamp(min=1)).where(size > 0, (other == 0).float())
        for hit, size, other in zip(hits, sizes, reversed(sizes), strict=True)
    )
    total = precision + recall
    return (2 * precision * recall / total.clamp(min=1e-12)).where(total > 0, 0.0)


def _contour(mask: Tensor) -> Tensor:
    """Pixels that differ from the one to the right, below, or both."""
    padded = F.pad(mask[:, None].float(), (0, 1, 0, 1), mode="replicate")[:, 0] > 0.5
    right, below, across = padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    return (mask ^ right) | (mask ^ below) | (mask ^ across)


def _dilated(edges: Tensor, reach: int) -> Tensor:
    """Pixels within a disc around those of a contour."""
    steps = torch.arange(-reach, reach + 1, device=edges.device)
    disc = (steps[:, None].square() + steps.square() <= reach**2).float()
    return F.conv2d(edges[:, None].float(), disc[None, None], padding=reach)[:, 0] > 0.5
