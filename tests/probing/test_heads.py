# B batch, D width, C classes
import pytest
import torch
from torch import Tensor, nn

from jepa_lightning.probing.attentive_heads import AttentiveHeads
from jepa_lightning.probing.heads import ProbeHeads
from jepa_lightning.probing.linear_heads import LinearHeads
from jepa_lightning.probing.mask_label import TokenHeads


class PlainHeads(ProbeHeads):
    """What a subclass has to write at least."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 2
        self.layer = nn.Linear(2, 3)

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        return [[self.layer(features)]]


def test_what_a_subclass_does_not_say_costs_nothing_and_refuses_no_batch() -> None:
    heads = PlainHeads()
    assert (heads.least, heads.autocast, dict(heads.options), list(heads.statistics())) == (1, False, {}, [])
    assert heads(torch.zeros(4, 2))[0][0].shape == (4, 3)


def test_options_of_a_resumed_run_cannot_be_changed_for_all_heads_at_once() -> None:
    with pytest.raises(TypeError):
        PlainHeads().options["depth"] = 2  # type: ignore[index]


@pytest.mark.parametrize("method", ["forward", "average_gradients"])
def test_what_a_subclass_must_write_is_missed_when_it_is_called(method: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(ProbeHeads(), method)(torch.ones(1))


@pytest.mark.parametrize("kind", ["linear", "token", "attentive"])
def test_each_kind_keeps_the_contract(kind: str) -> None:
    classes, device = [3, 5], torch.device("cpu")
    heads: ProbeHeads
    if kind == "attentive":
        heads = AttentiveHeads(4, classes, 2, 1, 2, 1)
    else:
        heads = TokenHeads(4, classes[:1], device) if kind == "token" else LinearHeads(4, classes, device)
    features = torch.randn(heads.least, *(() if kind == "linear" else (6,)), 4)
    outputs = heads(features)
    # logits by variant and then by label, from a batch that is as small as they allow
    variants, labels = (2, classes) if kind == "attentive" else (1, classes[:1] if kind == "token" else classes)
    places = (6,) if kind == "token" else ()
    assert [[each.shape for each in row] for row in outputs] == [[(heads.least, *places, c) for c in labels]] * variants
    assert all(each.isfinite().all() for row in outputs for each in row)
    assert heads.width == 4
    # gradients of sums over 8 samples become those of the mean, in every parameter
    torch.autograd.backward(torch.stack([each.square().sum() + each.sum() for row in outputs for each in row]).sum())
    sums = [parameter.grad.clone() for parameter in heads.parameters() if parameter.grad is not None]
    heads.average_gradients(torch.full((len(labels),), 8.0))
    assert len(sums) == len(list(heads.parameters()))
    for parameter, before in zip(heads.parameters(), sums, strict=True):
        torch.testing.assert_close(parameter.grad, before / 8)
    # what ranks average are the buffers themselves
    buffers = {id(buffer) for buffer in heads.buffers()}
    assert {id(each) for each in heads.statistics()} <= buffers
    assert len(heads.statistics()) == 2
