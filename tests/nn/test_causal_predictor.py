import pytest
import torch
from torch import nn

from jepa_lightning.nn import CausalPredictor


@pytest.fixture
def network() -> CausalPredictor:
    torch.manual_seed(0)
    built = CausalPredictor(8, 2, window=4, depth=2, heads=2, head_width=5, hidden=16, dropout=0.1).eval()
    for block in built.blocks:  # which start as the identity
        nn.init.normal_(block.modulation.weight, std=0.3)
    return built


def test_what_comes_later_changes_nothing_before(network: CausalPredictor) -> None:
    states, actions = torch.randn(2, 4, 8), torch.randn(2, 4, 2)
    before = network(states, actions)
    for frame in range(4):
        for given in (states, actions):
            changed = given.clone()
            changed[:, frame] += torch.randn(given.shape[-1])
            pair = (changed, actions) if given is states else (states, changed)
            moved = (network(*pair) - before).abs().amax(dim=(0, 2))
            assert (moved[:frame] == 0).all()
            assert (moved[frame:] > 1e-5).all()  # and all after it look at it


def test_beyond_the_window_each_frame_is_the_last_of_its_own(network: CausalPredictor) -> None:
    states, actions = torch.randn(2, 9, 8), torch.randn(2, 9, 2)
    found = network(states, actions)
    for frame in range(9):
        first = max(0, frame - 3)
        alone = network(states[:, first : frame + 1], actions[:, first : frame + 1])[:, -1]
        torch.testing.assert_close(found[:, frame], alone)


@pytest.mark.parametrize("known", [1, 2, 4])
def test_with_a_memory_it_gives_the_same_frame_by_frame(network: CausalPredictor, known: int) -> None:
    states, actions = torch.randn(2, 4, 8), torch.randn(2, 4, 2)
    memory = network.memory(4)
    parts = [slice(0, known), *(slice(frame, frame + 1) for frame in range(known, 4))]
    found = [network(states[:, part], actions[:, part], memory) for part in parts]
    torch.testing.assert_close(torch.cat(found, dim=1), network(states, actions), rtol=0, atol=1e-6)


def test_there_is_no_memory_for_a_window_that_slides(network: CausalPredictor) -> None:
    assert len(network.memory(4)) == 2
    assert network.memory(5) is None


def test_has_the_size_of_the_paper() -> None:
    network = CausalPredictor(192, 10)
    assert network.positions.shape == (3, 192)
    assert len(network.blocks) == 6
    block = network.blocks[0]
    assert (block.attn.heads, block.attn.proj.in_features, block.mlp.fc1.out_features) == (16, 1024, 2048)
    assert [layer.out_features for layer in network.actions if isinstance(layer, nn.Linear)] == [10, 768, 192]
    assert block.attn.dropout == 0.1
