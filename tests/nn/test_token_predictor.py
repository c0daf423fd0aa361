import pytest
import torch
from torch import nn

from jepa_lightning.nn import TokenPredictor


@pytest.fixture
def network() -> TokenPredictor:
    torch.manual_seed(0)
    built = TokenPredictor(5, 2, (2, 3), dim=8, window=2, depth=2, heads=2, head_width=8, hidden=16).eval()
    for block in built.blocks:  # which start as the identity
        nn.init.normal_(block.modulation.weight, std=0.3)
        nn.init.normal_(block.modulation.bias, std=0.3)
    return built


def trajectory(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, frames, 6, 5), torch.randn(2, frames, 2)


def test_a_frame_changes_all_tokens_of_its_own_and_of_those_after_within_reach(network: TokenPredictor) -> None:
    states, actions = trajectory(6)
    before = network(states, actions)
    assert network.reach == 3
    for frame in range(6):
        for token in (0, 5):
            changed = states.clone()
            changed[:, frame, token] += torch.randn(5)
            moved = (network(changed, actions) - before).abs().amax(dim=(0, 3))
            assert (moved[:frame] == 0).all()
            assert (moved[frame : frame + 3] > 1e-6).all()
            assert (moved[frame + 3 :] == 0).all()


def test_an_action_changes_nothing_before_it(network: TokenPredictor) -> None:
    states, actions = trajectory(5)
    before, changed = network(states, actions), actions.clone()
    changed[:, 2] += 1
    moved = (network(states, changed) - before).abs().amax(dim=(0, 2, 3))
    assert (moved > 1e-4).tolist() == [False, False, True, True, True]


def test_no_more_frames_than_its_reach_are_needed(network: TokenPredictor) -> None:
    states, actions = trajectory(7)
    alone = network(states[:, -3:], actions[:, -3:])[:, -1]
    torch.testing.assert_close(alone, network(states, actions)[:, -1], rtol=0, atol=1e-5)  # rotations are relative


@pytest.mark.parametrize("known", [1, 3])
def test_with_a_memory_it_gives_the_same_frame_by_frame(network: TokenPredictor, known: int) -> None:
    states, actions = trajectory(8)
    memory = network.memory(8)
    parts = [slice(0, known), *(slice(frame, frame + 1) for frame in range(known, 8))]
    found = [network(states[:, part], actions[:, part], memory) for part in parts]
    torch.testing.assert_close(torch.cat(found, dim=1), network(states, actions), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="takes one frame at a time, got 2"):
        network(states[:, :2], actions[:, :2], memory)
