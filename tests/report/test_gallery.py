import re
import xml.etree.ElementTree as ET

import pytest

from jepa_lightning.report.gallery import CAPTIONS, WIDE, gallery
from jepa_lightning.report.pictures import Film, Picture


def film(name: str, *steps: int, width: int = 4, left_out: int = 0) -> Film:
    return Film(name, [Picture(step, b"%d" % step, width, 3) for step in steps], left_out)


def drawn(*films: Film) -> list[ET.Element]:
    """The fieldset of each film, in a gallery that is read as XML."""
    closed = re.sub(r"<((?:img|input)\b[^>]*)>", r"<\1/>", gallery(list(films)))
    return ET.fromstring(closed.replace(" checked ", ' checked="" ')).findall("fieldset")


def texts(root: ET.Element, tag: str) -> list[str]:
    return ["".join(each.itertext()) for each in root.iter(tag)]


def test_known_pictures_come_first_in_their_order_and_others_as_they_are() -> None:
    names = ["mine", *reversed(CAPTIONS), "a"]
    assert [texts(each, "legend") for each in drawn(*(film(name, 1) for name in names))] == [
        *([caption] for caption in CAPTIONS.values()),
        ["mine"],
        ["a"],
    ]


def test_the_last_step_is_chosen_and_each_choice_has_its_own_label() -> None:
    first, second = drawn(film("masks", 0, 500, 12000), film("x", 1, 2))
    choices = list(first.iter("input"))
    assert [(each.get("type"), each.get("aria-label"), each.get("checked")) for each in choices] == [
        ("radio", "step 0", None), ("radio", "step 500", None), ("radio", "step 12,000", ""),
    ]  # fmt: skip
    assert [each.get("for") for each in first.iter("label")] == [each.get("id") for each in choices]
    assert texts(first, "label") == ["0", "500", "12,000"]
    # one choice does not end another film's, and a step of a film is found by one label alone
    assert {each.get("name") for each in choices}.isdisjoint({each.get("name") for each in second.iter("input")})
    assert len({each.get("name") for each in choices}) == 1
    ids = [each.get("id") for root in (first, second) for each in root.iter("input")]
    assert len(set(ids)) == 5
    # the style finds a picture by its place among those of the film
    frames = first.find("div[@class='frames']")
    assert frames is not None
    assert [each.tag for each in frames] == ["figure"] * 3
    assert texts(frames, "figcaption") == ["step 0", "step 500", "step 12,000"]


def test_pictures_are_in_the_page_with_their_size_and_a_text_in_their_place() -> None:
    given = film("masks", 7)
    (found,) = drawn(given)
    (image,) = found.iter("img")
    assert image.get("src") == given.pictures[0].address
    assert (image.get("width"), image.get("height")) == ("4", "3")
    assert image.get("alt") == f"{CAPTIONS['masks']}, at step 7"


def test_a_picture_alone_has_nothing_to_choose() -> None:
    (found,) = drawn(film("masks", 7))
    assert not list(found.iter("input"))
    assert not list(found.iter("label"))


@pytest.mark.parametrize(("widths", "wide"), [((WIDE,), False), ((WIDE + 1,), True), ((WIDE + 1, 5), True)])
def test_a_film_with_a_wide_picture_has_a_row_of_its_own(widths: tuple[int, ...], wide: bool) -> None:
    pictures = [Picture(step, b"", width, 3) for step, width in enumerate(widths)]
    (found,) = drawn(Film("masks", pictures))
    assert found.get("class") == ("film wide" if wide else "film")


def test_pictures_that_are_not_shown_are_counted_where_there_are_some() -> None:
    some, none = drawn(film("masks", 1, left_out=3), film("x", 1))
    assert texts(some, "p") == ["3 more are in the run's folder."]
    assert texts(none, "p") == []
