from collections import Counter
from colorsys import rgb_to_hsv

import pytest
import torch

from jepa_lightning.data import OddScenesDataModule, OddScenesDataset
from jepa_lightning.data.procedural.odd_scenes import ODD


def test_a_scene_follows_from_its_seed_and_index_alone() -> None:
    first, again = OddScenesDataset(4, odd=ODD), OddScenesDataset(4, odd=ODD)
    other = OddScenesDataset(4, odd=ODD, seed=1)
    state = torch.get_rng_state()
    for i in range(4):
        assert torch.equal(first[i][0], again[i][0])
        assert not torch.equal(first[i][0], other[i][0])
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(OddScenesDataset(1, odd=("shape",), offset=2)[0][0], first[2][0])
    with pytest.raises(IndexError, match="scene 4 of 4"):
        first[4]


@pytest.mark.parametrize("kind", ODD[1:])
def test_an_odd_scene_differs_from_the_normal_one_in_its_cell_alone(kind: str) -> None:
    normal, odd = OddScenesDataset(20, 48), OddScenesDataset(20, 48, odd=(kind,))
    for i in range(20):
        (image, labels, path), (plain, none, _) = odd[i], normal[i]
        assert path is None
        assert labels["odd"] == ODD.index(kind)
        assert none == {"odd": 0, "cell": 0}
        row, column = divmod(labels["cell"] - 1, 3)
        changed = (image != plain).any(0).nonzero()
        assert len(changed) > 10
        # an object is at most 0.15 in radius and 0.02 from the center of its cell
        low, high = torch.tensor([row * 16 - 1, column * 16 - 1]), torch.tensor([row * 16 + 17, column * 16 + 17])
        assert ((changed >= low) & (changed < high)).all()


def test_objects_of_a_normal_scene_have_one_color() -> None:
    """By the hue of the brightest pixel of each cell, on a circle around the first one."""
    scenes = OddScenesDataset(60, 48)
    for i in range(60):
        cells = scenes[i][0].unfold(1, 16, 16).unfold(2, 16, 16).flatten(3).flatten(1, 2)  # [3, 9, 256]
        brightest = cells.amax(0).argmax(1)
        hues = [rgb_to_hsv(*(cells[:, cell, place] / 255).tolist())[0] for cell, place in enumerate(brightest)]
        assert max(abs((hue - hues[0] + 0.5) % 1 - 0.5) for hue in hues) < 0.06


def test_kinds_take_turns_and_cells_are_even() -> None:
    scenes = OddScenesDataset(360, 8, odd=("none", "color"))
    labels = [scenes[i][1] for i in range(360)]
    assert [label["odd"] for label in labels[:4]] == [0, 1, 0, 1]
    counts = Counter(label["cell"] for label in labels)
    assert counts[0] == 180
    assert min(counts[cell] for cell in range(1, 10)) > 8


def test_training_scenes_have_nothing_odd() -> None:
    train, val = OddScenesDataModule(num_train=40, num_val=40, image_size=16).build_datasets()
    assert {train[i][1]["odd"] for i in range(40)} == {0}
    assert Counter(val[i][1]["odd"] for i in range(40)) == {0: 10, 1: 10, 2: 10, 3: 10}
    assert not any(torch.equal(train[i][0], val[4 * j][0]) for i in range(40) for j in range(10))


def test_kinds_that_there_are_not_are_refused() -> None:
    for wrong in ((), ("size",)):
        with pytest.raises(ValueError, match="give one or more of none, color, shape, missing"):
            OddScenesDataset(4, odd=wrong)
