from typing import Any, ClassVar

import pytest

from jepa_lightning.checkpoints import MADE_BY, class_path, maker, refuse_other_method


class Base:
    traits: ClassVar[Any] = None


class First(Base):
    traits = "first"


class Second(Base):
    traits = "second"


class FirstA(First): ...


class FirstB(First): ...


class Own(Base): ...


class OtherOwn(Base): ...


@pytest.mark.parametrize(
    ("owner", "made_by", "refused"),
    [
        (First, First, False),
        (FirstA, First, False),
        (First, FirstA, False),
        (FirstB, FirstA, False),
        (Base, Second, False),
        (Own, OtherOwn, False),
        (First, Second, True),
        (FirstA, Second, True),
        (Own, First, True),
        (First, Own, True),
    ],
)
def test_methods_are_told_apart_and_subclasses_of_one_are_not(owner: type, made_by: type, refused: bool) -> None:
    checkpoint = {MADE_BY: class_path(made_by)}
    if not refused:
        refuse_other_method(owner, checkpoint, "a.ckpt")
        return
    text = (
        f"^a.ckpt is a checkpoint of {class_path(made_by)}, not of {class_path(owner)}: load it as {made_by.__name__} "
    )
    with pytest.raises(ValueError, match=text):
        refuse_other_method(owner, checkpoint, "a.ckpt")


@pytest.mark.parametrize("path", [None, "not_imported.Net", f"{__name__}.gone", f"{__name__}.pytest", "", "x", 3])
def test_what_is_not_imported_is_not_judged(path: Any) -> None:
    refuse_other_method(First, {MADE_BY: path}, "a.ckpt")


def test_former_files_of_the_command_line_name_their_class() -> None:
    assert maker({"hyper_parameters": {"_class_path": "a.B"}}) == "a.B"
    assert maker({MADE_BY: "c.D", "hyper_parameters": {"_class_path": "a.B"}}) == "c.D"
    assert maker({}) is None


@pytest.mark.parametrize("options", [None, 3, [], "x", {"_class_path": 3}])
def test_options_that_are_damaged_name_no_class(options: Any) -> None:
    assert maker({"hyper_parameters": options}) is None
    assert maker({MADE_BY: 3, "hyper_parameters": options}) is None
