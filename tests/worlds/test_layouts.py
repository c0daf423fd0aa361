import pytest

from jepa_lightning.worlds.layouts import layouts_of


def test_layouts_of_different_purposes_have_none_in_common() -> None:
    found = {name: {tuple(row) for row in layouts_of(name).tolist()} for name in ("train", "val", "test", "all")}  # type: ignore[arg-type]
    assert found["train"] | found["val"] | found["test"] == found["all"]
    assert sum(len(found[name]) for name in ("train", "val", "test")) == len(found["all"]) == 25 * 45
    assert {wall for wall, _ in found["all"]} == set(range(20, 45))
    assert {door for _, door in found["all"]} == set(range(10, 55))
    # every split has walls and doors of all sizes
    assert all({wall for wall, _ in found[name]} == set(range(20, 45)) for name in ("train", "val", "test"))


def test_they_never_change() -> None:
    assert layouts_of("val")[:3].tolist() == VAL
    assert layouts_of("fixed").tolist() == [[32, 18]]
    with pytest.raises(ValueError, match="no layouts 'odd' of two rooms: give one of fixed, train, val, test, all"):
        layouts_of("odd")  # type: ignore[arg-type]


VAL = [[20, 24], [20, 37], [20, 41]]
