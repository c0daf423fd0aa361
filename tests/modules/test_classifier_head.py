import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning import Classifier
from jepa_lightning.modules.classifier_head import ClassifierHead
from jepa_lightning.types import Batch

SIZES = {"kind": 3, "place": 2}


def head_of(kind: Any = "linear", **options: Any) -> ClassifierHead:
    torch.manual_seed(0)
    head = ClassifierHead(kind, **{"width": 12, "sizes": SIZES, "depth": 1, **options})
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head


def values(number: int, seed: int = 0) -> Tensor:
    """Far from 0 in comparison with how much they differ."""
    offset = torch.tensor([1000.0, -3.0])
    return offset + torch.randn(number, 2, generator=torch.Generator().manual_seed(seed))


def known(number: int) -> Tensor:
    return torch.ones(number, dtype=torch.bool)


def test_a_linear_head_is_a_layer_on_the_normalized_mean_of_the_tokens() -> None:
    head, tokens = head_of(), 5 + 3 * torch.randn(6, 4, 12)
    mean = tokens.mean(dim=1)
    features = (mean - mean.mean(dim=0)) / (mean.var(dim=0, unbiased=False) + 1e-6).sqrt()
    found = head(tokens)
    assert list(found) == ["kind", "place"]
    for name, layer in zip(SIZES, head.heads.heads, strict=True):
        torch.testing.assert_close(found[name], features @ layer.weight.T + layer.bias)


def test_an_attentive_head_sees_each_token_and_not_their_order() -> None:
    head, tokens = head_of("attentive", depth=2).eval(), torch.randn(2, 5, 12)
    found = head(tokens)
    assert {name: tuple(outputs.shape) for name, outputs in found.items()} == {"kind": (2, 3), "place": (2, 2)}
    assert len(head.state_dict()) > len(head_of("attentive", depth=1).state_dict())
    swapped = head(tokens.flip(1))
    spread = head(tokens + torch.tensor([1.0, -1.0, 0.0, 0.0, 0.0])[:, None] * torch.randn(12))  # the same mean
    for name, outputs in found.items():
        torch.testing.assert_close(swapped[name], outputs)
        assert (spread[name] - outputs).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["linear", "attentive"])
def test_a_single_sample(kind: Any) -> None:
    head, tokens = head_of(kind), torch.randn(1, 4, 12)
    if kind == "linear":
        with pytest.raises(
            ValueError, match=r"^a linear head .* 1 sample\(s\): give 2 or more, or head='attentive'\.$"
        ):
            head(tokens)
    else:
        assert head(tokens)["kind"].shape == (1, 3)
    assert head.eval()(tokens)["kind"].shape == (1, 3)


def test_the_scale_is_that_of_all_values_so_far_that_are_known() -> None:
    head, seen = head_of(), []
    for step in range(3):
        batch = values(5, step)
        batch[step, 1] = torch.nan
        labeled = known(5)
        labeled[step] = False
        head.learn_scale("place", batch, labeled)
        seen.append(batch[labeled])
    joint = torch.cat(seen).double()
    scale = head.scale("place")
    expected = (joint - joint.mean(dim=0)) / joint.std(dim=0, unbiased=False)
    torch.testing.assert_close(scale.standardize(torch.cat(seen)), expected.float())
    torch.testing.assert_close(scale.restore(expected), joint)
    # of the label that it is asked for
    torch.testing.assert_close(head.scale("kind").standardize(torch.ones(1, 3)), torch.ones(1, 3))
    assert head.sums_1[0].tolist() == [12.0, 12.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_scale_is_as_precise_in_a_module_of_another_precision(dtype: torch.dtype) -> None:
    head, plain = head_of().to(dtype), head_of()
    assert next(head.parameters()).dtype == dtype
    for each in (head, plain):
        for step in range(50):
            each.learn_scale("place", values(8, step), known(8))
    assert head.sums_1[0, 0] == 400
    assert torch.equal(head.sums_1, plain.sums_1)
    again = head_of().to(dtype)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again.scale("place").restore(torch.ones(2)), plain.scale("place").restore(torch.ones(2)))
    # moved once there are sums
    assert torch.equal(copy.deepcopy(plain).to(dtype).sums_1, plain.sums_1)


def test_sums_move_with_the_head() -> None:
    head = head_of().to("meta")
    assert {tensor.device.type for tensor in head.state_dict().values()} == {"meta"}
    filled = head.to_empty(device="cpu")
    assert {tensor.device.type for tensor in filled.state_dict().values()} == {"cpu"}
    filled.load_state_dict(head_of().state_dict())
    tokens = torch.randn(3, 4, 12)
    torch.testing.assert_close(filled(tokens), head_of()(tokens))
    assert list(filled.state_dict()) == list(head_of().state_dict())


def test_no_number_of_double_precision_goes_to_a_device_that_has_none() -> None:
    def moved(tensor: Tensor) -> Tensor:  # as to MPS
        assert tensor.dtype != torch.float64
        return tensor.clone()

    head_of()._apply(moved)


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_values_are_trained_and_counted_in_half_precision(precision: Any, quiet_trainer: Any) -> None:
    # numbers that labels of half precision can have
    samples = [(image, 512.0 + 4 * (number % 100)) for number, image in enumerate(torch.rand(320, 3, 16, 16))]
    torch.manual_seed(0)
    classifier = Classifier("vit_tiny", width=12, depth=1, heads=3, image_size=16, patch_size=8, num_classes=1)
    loader = torch.utils.data.DataLoader(samples, 32, collate_fn=classifier.pipeline().collate)
    quiet_trainer(max_epochs=1, precision=precision).fit(classifier, loader)
    scale = classifier.head.scale("")
    assert classifier.head.sums_0[0] == 320
    expected = torch.tensor([value for _, value in samples]).double()
    standardized = scale.standardize(expected[:, None])
    torch.testing.assert_close(
        standardized,
        F.layer_norm(expected, (320,), eps=0)[:, None].float(),
    )


def test_what_is_learned_of_values_goes_through_a_checkpoint() -> None:
    classifier = Classifier("vit_tiny", width=12, depth=1, heads=3, image_size=16, patch_size=8, num_classes=2)
    labels = torch.tensor([[10.0, -1.0], [30.0, -1.0]])
    classifier.train().objective(Batch([torch.randn(2, 3, 16, 16)], labels=labels), 0.0)
    other = Classifier(**dict(classifier.hparams))
    other.load_state_dict(classifier.state_dict())
    # the second is constant: its deviation is no scale
    torch.testing.assert_close(
        other.head.scale("").restore(torch.ones(1, 2).double()), torch.tensor([[30.0, 0.0]]).double()
    )
