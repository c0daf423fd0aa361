import torch

from jepa_lightning.nn.simple_pyramid import SimplePyramid


def test_levels_are_4_2_1_and_half_times_as_large_and_see_their_own_place_alone() -> None:
    torch.manual_seed(0)
    pyramid = SimplePyramid(width=12, channels=8)
    maps = torch.randn(2, 12, 16, 8)
    before = pyramid(maps)
    shapes = {name: tuple(each.shape) for name, each in before.items()}
    assert shapes == {
        "0": (2, 8, 64, 32), "1": (2, 8, 32, 16), "2": (2, 8, 16, 8), "3": (2, 8, 8, 4), "pool": (2, 8, 4, 2),
    }  # fmt: skip
    assert pyramid.out_channels == 8
    maps[:, :, 4, 2] += 1
    for name, scale in (("0", 4.0), ("1", 2.0), ("2", 1.0), ("3", 0.5)):
        changed = (pyramid(maps)[name] - before[name]).abs().sum(dim=(0, 1)) > 1e-6
        rows, columns = changed.nonzero().T
        # a convolution of 3 x 3 reaches one place further
        assert rows.min() == int(4 * scale) - 1
        assert rows.max() == int(4 * scale) + max(1, int(scale))
        assert columns.min() == int(2 * scale) - 1
        assert columns.max() == int(2 * scale) + max(1, int(scale))


def test_the_smallest_map_is_every_second_place_of_the_one_before() -> None:
    found = SimplePyramid(width=3, channels=4)(torch.randn(1, 3, 8, 8))
    assert torch.equal(found["pool"], found["3"][:, :, ::2, ::2])
