import torch

from jepa_lightning.planning import episode_generators
from jepa_lightning.planning.draws import normal, pick


def test_an_episode_draws_the_same_in_any_company() -> None:
    together = normal(episode_generators(2, 5), (3, 4), torch.zeros(1))
    alone = normal(episode_generators(2, 1, first=3), (3, 4), torch.zeros(1))
    assert together.shape == (5, 3, 4)
    assert torch.equal(together[3], alone[0])
    assert len({float(row[0, 0]) for row in together}) == 5


def test_numbers_have_the_type_that_is_asked_for() -> None:
    assert normal(episode_generators(0, 1), (2,), torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_a_column_is_picked_by_its_weight() -> None:
    weights = torch.tensor([0.0, 0.25, 0.75]).expand(2000, 3)
    counts = torch.bincount(pick(episode_generators(0, 2000), weights), minlength=3)
    assert counts[0] == 0
    assert abs(int(counts[2]) - 1500) < 80
