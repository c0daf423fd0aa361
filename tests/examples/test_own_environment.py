import re
from itertools import pairwise

import pytest

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra worlds")


def test_gymnasium_finds_no_fault(example):
    from gymnasium.utils.env_checker import check_env

    check_env(example("own_environment.py").Pusher(), skip_render_check=True)


def test_an_action_leads_from_one_frame_to_the_next(example):
    own = example("own_environment.py")
    env = own.Pusher()
    env.reset(seed=0, options={"anywhere": True})
    for sample in own.record(env, 3, seed=7):
        assert sample.media.shape == (own.FRAMES, 1, own.SIDE, own.SIDE)
        places = [center(frame[0].double()) for frame in sample.media]
        for (before, after), action in zip(pairwise(places), sample.extras["actions"].tolist(), strict=True):
            inside = all(2 < place < own.SIDE - 3 for place in (*before, *after))
            assert not inside or after == pytest.approx([before[0] + action[0], before[1] + action[1]], abs=0.2)


def center(image):
    """Column and row of the middle of the dot."""
    total = image.sum()
    return [
        float((image.sum(dim=0) * range_of(image)).sum() / total),
        float((image.sum(dim=1) * range_of(image)).sum() / total),
    ]


def range_of(image):
    return image.new_tensor(range(len(image)))


@pytest.mark.slow
def test_planning_reaches_more_goals_than_chance(example, capsys):
    example("own_environment.py").main(["--steps", "100", "--episodes", "10"])
    reached = dict(re.findall(r"(\w+): (\d+) of 10 goals", capsys.readouterr().out))
    assert int(reached["CEM"]) >= 8
    assert int(reached["random"]) <= 3
