import torch

from jepa_lightning.chance import seeded_chance

CPU = torch.device("cpu")


def draw(*numbers: int) -> torch.Tensor:
    with seeded_chance(*numbers, device=CPU):
        return torch.rand(4)


def test_the_same_numbers_draw_the_same_and_others_do_not() -> None:
    assert torch.equal(draw(0, 1, 5), draw(0, 1, 5))
    draws = [draw(*numbers) for numbers in ((0, 1, 5), (0, 1, 6), (0, 0, 5), (1, 1, 5))]
    assert len({tuple(each.tolist()) for each in draws}) == 4


def test_the_generator_and_its_seed_are_put_back() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    draw(7)
    assert torch.initial_seed() == 3
    assert torch.equal(torch.rand(2), expected)
