import pytest
import torch

from jepa_lightning.modules.trajectories import Actions


def test_actions_of_the_data_become_standard_ones() -> None:
    torch.manual_seed(0)
    actions = torch.randn(1000, 4, 3) * torch.tensor([1.0, 2.0, 5.0]) + torch.tensor([0.0, -1.0, 3.0])
    flat = actions.flatten(0, 1)
    found = Actions(3, flat.mean(0).tolist(), flat.std(0).tolist())(actions).flatten(0, 1)
    torch.testing.assert_close(found.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(0), torch.ones(3), atol=1e-5, rtol=0)


def test_without_statistics_they_stay_as_they_are_until_some_are_taken() -> None:
    actions, standard = torch.randn(2, 3, 2), Actions(2, None, None)
    assert torch.equal(standard(actions), actions)
    standard.take((1.0, 0.0), (2.0, 1.0))
    torch.testing.assert_close(standard(actions)[..., 0], (actions[..., 0] - 1) / 2)
    with pytest.raises(ValueError, match="mean has 3 numbers, and action_size is 2"):
        standard.take((0.0,) * 3, (1.0,) * 3)
    assert not standard.state_dict()
