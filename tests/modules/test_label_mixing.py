import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.modules.label_mixing import LabelMixing, label_loss
from jepa_lightning.probing.label_kinds import ClassLabel, TagLabel, ValueLabel

# of three samples, the last of which has no label
TARGETS: dict[Any, Tensor] = {
    ClassLabel(4): torch.tensor([3, 0, -1]),
    ValueLabel(2): torch.tensor([[1.0, -2.0], [0.5, 3.0], [math.nan, 1.0]]),
    TagLabel(2): torch.tensor([[0, 1], [1, 1], [-1, -1]]),
}
NAMES = {"argvalues": TARGETS, "ids": [type(kind).__name__ for kind in TARGETS]}
SHARES = torch.tensor([[0.6, 0.3, 0.1], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])


def outputs_for(kind: Any) -> Tensor:
    return torch.randn(3, kind.size, generator=torch.Generator().manual_seed(0))


def slow_loss(kind: Any, outputs: Tensor, target: Tensor, shares: Tensor, smoothing: float) -> float:
    """The loss an image at a time, from the definitions of cross-entropies and the squared error."""
    total = weight = 0.0
    for row, share in zip(outputs.double(), shares.double(), strict=True):
        own = {j: float(share[j]) for j in range(2)}  # the parts that have a label
        known = sum(own.values())
        if not known:
            continue
        parts = {j: value / known for j, value in own.items()}
        if isinstance(kind, ClassLabel):
            wanted = [sum(parts[j] for j in parts if int(target[j]) == c) for c in range(kind.size)]
            wanted = [(1 - smoothing) * value + smoothing / kind.size for value in wanted]
            normalizer = math.log(sum(math.exp(x) for x in row))
            loss = -sum(w * (float(x) - normalizer) for w, x in zip(wanted, row, strict=True))
        else:
            wanted = [sum(parts[j] * float(target[j, c]) for j in parts) for c in range(kind.size)]
            pairs = list(zip(wanted, row.tolist(), strict=True))
            if isinstance(kind, ValueLabel):
                loss = sum((x - w) ** 2 for w, x in pairs) / kind.size
            else:
                chances = [(w, 1 / (1 + math.exp(-x))) for w, x in pairs]
                loss = -sum(w * math.log(p) + (1 - w) * math.log(1 - p) for w, p in chances) / kind.size
        total, weight = total + known * loss, weight + known
    return total / weight


@pytest.mark.parametrize("kind", **NAMES)
def test_an_image_counts_as_much_as_its_parts_that_have_a_label(kind: Any) -> None:
    outputs, target = outputs_for(kind), TARGETS[kind]
    expected = slow_loss(kind, outputs, target, SHARES, 0.2)
    assert label_loss(kind, outputs, target, SHARES, 0.2).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", **NAMES)
def test_a_batch_without_any_label_has_a_loss_and_gradients_of_0(kind: Any) -> None:
    target = kind.missing(3)
    for shares in (None, SHARES):
        outputs = outputs_for(kind).requires_grad_()
        loss = label_loss(kind, outputs, target, shares, 0.1)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(outputs.grad, torch.zeros(3, kind.size))


def test_smoothing_without_mixing_is_that_of_torch_and_is_of_classes_alone() -> None:
    for kind, target in TARGETS.items():
        outputs = outputs_for(kind)
        found = label_loss(kind, outputs, target, smoothing=0.3)
        if isinstance(kind, ClassLabel):
            torch.testing.assert_close(found, F.cross_entropy(outputs, target, ignore_index=-1, label_smoothing=0.3))
        else:
            torch.testing.assert_close(found, label_loss(kind, outputs, target))


def test_a_class_out_of_range_ends_in_no_fault_of_the_device() -> None:
    kind, target = ClassLabel(4), torch.tensor([3, 4, -1])
    plain = label_loss(kind, outputs_for(kind), target)
    torch.testing.assert_close(label_loss(kind, outputs_for(kind), target, torch.eye(3)), plain)


@pytest.mark.parametrize("shape", [(4, 3, 16, 24), (4, 3, 5, 16, 24), (4, 1, 2, 24, 16)])
def test_a_cut_takes_one_area_of_all_channels_and_frames_and_the_label_has_its_share(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    own = torch.arange(4.0).reshape(-1, *[1] * (len(shape) - 1))
    found = []
    for _ in range(20):
        mixed, shares = LabelMixing(0.0, 1.0)(own.expand(shape))
        assert mixed.shape == shape
        kept = (mixed == own).flatten(1, -3)  # [B, channels and frames, H, W]
        assert (kept == kept[:, :1]).all()
        rows, columns = kept[0, 0].logical_not().nonzero().unbind(1)
        if len(rows):  # a rectangle
            sides = [int(places.max() - places.min()) + 1 for places in (rows, columns)]
            assert len(rows) == math.prod(sides)
        assert shares is not None
        torch.testing.assert_close(shares.diagonal(), kept.float().mean(dim=(1, 2, 3)))
        torch.testing.assert_close(shares.diagonal() + shares.flip(1).diagonal(), torch.ones(4))
        found.append(float(shares[0, 0]))
    assert len({*found}) > 10


def test_clips_are_mixed_by_the_shares() -> None:
    torch.manual_seed(0)
    clips = torch.rand(4, 3, 5, 8, 8)
    mixed, shares = LabelMixing(0.4, 0.0)(clips)
    assert shares is not None
    assert 0 < shares[0, 0] < 1
    torch.testing.assert_close(mixed, torch.einsum("bc,ctxyz->btxyz", shares, clips))


def test_with_both_a_batch_has_one_of_them() -> None:
    torch.manual_seed(0)
    images, values = torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 3, 16, 16), set()
    for _ in range(20):
        mixed, _ = LabelMixing(1.0, 1.0)(images)
        values.add("cut" if mixed.unique().numel() == 2 and {*mixed.unique().tolist()} == {0.0, 1.0} else "mixed")
    assert values == {"cut", "mixed"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("alphas", [(1.0, 0.0), (0.0, 1.0)])
def test_half_precision_stays_and_shares_are_of_full_precision(dtype: torch.dtype, alphas: tuple[float, float]) -> None:
    torch.manual_seed(0)
    mixed, shares = LabelMixing(*alphas)(torch.rand(4, 3, 8, 8).to(dtype))
    assert shares is not None
    assert (mixed.dtype, shares.dtype) == (dtype, torch.float32)


def test_nothing_is_drawn_where_nothing_is_mixed() -> None:
    images, before = torch.rand(3, 3, 8, 8), torch.get_rng_state()
    mixed, shares = LabelMixing(0.0, 0.0)(images)
    assert mixed is images
    assert shares is None
    assert torch.equal(torch.get_rng_state(), before)
