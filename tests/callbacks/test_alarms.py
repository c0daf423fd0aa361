import pytest

from jepa_lightning.callbacks.alarms import ALARMS, AlarmBell

FINE = {
    "effective_rank": 20.0, "std": 0.5, "content_share": 0.6, "energy": 0.4, "energy_other": 0.4, "energy_gap": 0.0,
    "energy_blind": 0.5, "action_gap": 0.3,
}  # fmt: skip
LATE = 1000  # optimizer steps
SIGNS = {
    "rank": ({"effective_rank": 4.0}, "effective rank is 4.00, from 20.00"),
    "std": ({"std": 0.04}, "standard deviation is 0.04, from 0.5"),
    "content": ({"content_share": 0.1}, "10% of their variance lies between images, from 60%"),
    "gap": ({"energy": 0.03, "energy_gap": 0.01}, "only 1.0% higher"),
    "fragments": ({"energy_blind": 0.41}, "the mean of all targets would have 0.41 (fragmentation"),
    "actions": ({"energy": 0.03, "energy_gap": 0.5, "action_gap": 0.02}, "only 2.0% higher"),
}
HARMLESS = [
    {"effective_rank": 6.0},
    {"std": 0.1},
    {"content_share": 0.2},
    {"energy": 0.03, "energy_gap": 0.3},
    {"energy": 0.1, "energy_gap": 0.0},  # early: position is learned before content
    {"energy_blind": 0.43},  # a little better than the mean
    {"energy_blind": 0.41, "energy_gap": 0.1},  # images are told apart
    {"energy": 0.19, "energy_blind": 0.19},  # on the way to a collapse
    {"energy": 0.3, "energy_blind": 0.1},  # targets have become alike faster than predictions
]


def test_every_alarm_has_a_sign_here():
    assert SIGNS.keys() == ALARMS.keys()


@pytest.mark.parametrize("kind", SIGNS)
def test_a_sign_that_lasts_is_explained_once(kind):
    change, words = SIGNS[kind]
    bell = AlarmBell(patience=2)
    sequence = (FINE, FINE | change, FINE | change, FINE | change, FINE, FINE | change)
    given = [bell.check(values, LATE) for values in sequence]
    assert [len(texts) for texts in given] == [0, 0, 1, 0, 0, 0]
    assert words in given[2][0]
    assert bell.given == 1


@pytest.mark.parametrize("change", HARMLESS)
def test_what_happens_in_good_runs_gives_no_alarm(change):
    bell = AlarmBell(patience=1)
    assert bell.check(FINE, LATE) == []
    assert bell.check(FINE | change, LATE) == []


def test_a_sign_that_passes_gives_no_alarm():
    bell, bad = AlarmBell(patience=2), FINE | {"std": 0.0}
    assert [bell.check(values, LATE) for values in (FINE, bad, FINE, bad, FINE)] == [[]] * 5


@pytest.mark.parametrize(("rank", "count"), [(1.5, 0), (1.4, 0), (1.3, 1)])
def test_a_rank_that_is_near_one_from_the_start_must_still_fall(rank, count):
    bell = AlarmBell(patience=1)
    bell.check(FINE | {"effective_rank": 1.5}, LATE)
    assert len(bell.check(FINE | {"effective_rank": rank}, LATE)) == count


def test_features_that_never_differed_give_an_alarm():
    bell = AlarmBell(patience=2)
    flat = FINE | {"std": 0.0, "effective_rank": 1.0}
    assert [len(bell.check(flat, LATE)) for _ in range(3)] == [0, 1, 0]


@pytest.mark.parametrize("stop", range(1, 6))
def test_a_restored_bell_continues_where_it_was(stop):
    bad = FINE | {"std": 0.0}
    sequence = [FINE, FINE, bad, bad, bad, FINE]
    whole, first, second = (AlarmBell(patience=2) for _ in range(3))
    expected = [whole.check(values, LATE) for values in sequence]
    found = [first.check(values, LATE) for values in sequence[:stop]]
    second.load_state_dict(first.state_dict())
    found += [second.check(values, LATE) for values in sequence[stop:]]
    assert found == expected
    assert sum(map(len, expected)) == 1


def test_a_bell_of_an_earlier_version_is_restored_without_what_it_did_not_measure():
    bell = AlarmBell(patience=1)
    counts = dict.fromkeys(ALARMS, 0)
    del counts["fragments"]
    bell.load_state_dict({"first": {name: FINE[name] for name in FINE if name != "energy_blind"}, "counts": counts})
    assert [bell.check(FINE | {"energy_blind": 0.1}, LATE) for _ in range(5)] == [[]] * 5


def test_a_predictor_that_has_just_begun_may_be_worse_than_the_mean():
    bell, bad = AlarmBell(patience=2), FINE | {"energy_blind": 0.2, "energy": 0.6}
    bell.check(bad, 0)
    assert [len(bell.check(bad, step)) for step in (10, 20, 99, 100, 101)] == [0, 0, 0, 0, 1]
    assert bell.kinds == ["fragments"]
