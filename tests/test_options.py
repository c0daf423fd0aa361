"""Ranges of options: every number that a person can set has one, and what is outside is refused by name."""

import inspect
import math
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from lightning.pytorch import Callback, LightningDataModule, LightningModule

from jepa_lightning import callbacks, data, modules, planning
from jepa_lightning.cli.main import main
from jepa_lightning.options import (
    Ascending,
    ImageSize,
    LearningRates,
    NonNegativeFloat,
    NonNegativeInt,
    NotEmpty,
    PositiveInt,
    Share,
    ShareBelowOne,
    ShareRange,
    check_options,
    check_values,
    option_types,
)

CLASSES = [
    value
    for package in (modules, data, callbacks, planning)
    for value in map(package.__dict__.get, package.__all__)
    if inspect.isclass(value) and issubclass(value, (LightningModule, LightningDataModule, Callback, planning.Planner))
]
RATES = {"lr", "start_lr", "final_lr", "lrs"}
# what an option without a default needs, so that the class can be built at all
REQUIRED = {"root": ".", "train": "list.csv", "path": "features.npz", "env": "TwoRooms"}


def leaves(hint: Any) -> Iterator[Any]:
    """The types that a type is made of, numbers with their marks."""
    if get_origin(hint) is Annotated and get_args(hint)[0] in (int, float):
        yield hint
    elif get_origin(hint) is not Literal and get_args(hint):
        arguments = get_args(hint)
        for part in arguments[:1] if get_origin(hint) is Annotated else arguments:
            yield from leaves(part)
    else:
        yield hint


def own_types(cls: type) -> dict[str, Any]:
    """The options of a class that this package declares; those of its bases where it passes them on."""
    ours: set[str] = set()
    for base in (base for base in cls.__mro__ if base.__module__.startswith("jepa_lightning")):
        parameters = inspect.signature(base.__init__).parameters
        ours |= parameters.keys()
        if "__init__" in vars(base) and not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            break
    return {name: hint for name, hint in option_types(cls).items() if name in ours and name != "return"}


def wrong_values(hint: Any) -> Iterator[Any]:
    """Values outside of every range within a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        # a number that one member refuses is for another one: only what all of them refuse is wrong
        members = [member for member in arguments if any(map(is_number, leaves(member)))]
        numbers = [member for member in members if is_number(member)]
        for member in members:
            for value in wrong_values(member):
                if not is_number(member) or all(value not in get_args(number)[1] for number in numbers):
                    yield value
    elif is_number(hint):
        low, high = map(float, get_args(hint)[1].text[1:-1].split(","))
        whole = get_args(hint)[0] is int
        yield from (math.nan, -math.inf, math.inf)
        if math.isfinite(low):
            yield int(low) - 1 if whole else low - 1e-3
            if get_args(hint)[1].text[0] == "(":
                yield low
        if math.isfinite(high):
            yield int(high) + 1 if whole else high + 1e-3
            if get_args(hint)[1].text[-1] == ")":
                yield high
    elif origin is Annotated:
        yield from wrong_values(arguments[0])
        assert arguments[1] in (Ascending(), NotEmpty())
        yield (0.9, 0.1) if arguments[1] == Ascending() else ()
    elif origin is tuple and arguments[-1] is not Ellipsis:
        for value in wrong_values(arguments[0]):
            yield (value, *(1 for _ in arguments[1:]))
        for value in wrong_values(arguments[-1]):
            yield (*(1 for _ in arguments[1:]), value)
    elif origin is dict:
        yield from ({"one": value} for value in wrong_values(arguments[1]))
    elif arguments:
        yield from ((value,) for value in wrong_values(arguments[0]))


def is_number(hint: Any) -> bool:
    return get_origin(hint) is Annotated and get_args(hint)[0] in (int, float)


CASES = [
    (cls, name, value)
    for cls in CLASSES
    for name, hint in own_types(cls).items()
    if any(map(is_number, leaves(hint)))
    for value in wrong_values(hint)
]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_number_that_can_be_set_has_a_range(cls: type) -> None:
    bare = {name for name, hint in own_types(cls).items() if {int, float} & set(leaves(hint))}
    assert not bare, f"{cls.__name__}: give {', '.join(sorted(bare))} a range from jepa_lightning.options."


def test_as_many_options_are_walked_as_there_are() -> None:
    options = {(cls.__name__, name) for cls, name, _ in CASES}
    assert len(options) > 400
    assert {cls for cls, _, _ in CASES} >= {modules.IJEPA, data.ImageFolderDataModule, callbacks.OnlineKNN}


@pytest.mark.parametrize("cls", CLASSES)
def test_values_out_of_range_are_refused_by_name(cls: type) -> None:
    if inspect.isabstract(cls):
        return
    needed = {name: REQUIRED[name] for name in inspect.signature(cls).parameters if name in REQUIRED}
    if cls is data.MixedDataModule:
        needed = {"videos": data.PhysicsVideoDataModule(), "images": data.ShapesDataModule()}
    for _, name, value in (case for case in CASES if case[0] is cls):
        with pytest.raises(ValueError, match=rf"^{cls.__name__}: {name}=.* is out of range: give .*\.$"):
            cls(**{**needed, name: value})


@pytest.mark.parametrize(
    ("hint", "value", "fault"),
    [
        (PositiveInt, 3, None),
        (PositiveInt, 0, "a number in [1, 1e9]"),
        (PositiveInt, 2.5, "a whole number in [1, 1e9]"),
        (PositiveInt, True, "a whole number in [1, 1e9]"),
        (PositiveInt, "3", "a whole number in [1, 1e9]"),
        (NonNegativeFloat, 0, None),
        (NonNegativeFloat, math.nan, "a number in [0, 1e6]"),
        (NonNegativeFloat, 1e30, "a number in [0, 1e6]"),
        (Share | None, None, None),
        (Share | None, 1.5, "a number in [0, 1]"),
        (NonNegativeInt | ShareBelowOne | str, "10%", None),
        (NonNegativeInt | ShareBelowOne | str, 500, None),
        (NonNegativeInt | ShareBelowOne | str, 1.5, "a number in [0, 1)"),
        (ImageSize, (32, 48), None),
        (ImageSize, [32, 0], "a number in [1, 1e9]"),
        (ImageSize, math.nan, "a whole number in [1, 1e9]"),
        (ShareRange, (0.2, 0.2), None),
        (ShareRange, (0.3, 0.2), "the smaller number first"),
        (ShareRange, (0.0, 0.2), "a number in (0, 1]"),
        *((ShareRange, value, "two numbers") for value in ("ab", {}, (), (0.1,), (0.1, 0.2, 0.3), 0.1)),
        (PositiveInt, 10**400, "a number in [1, 1e9]"),
        (Share, -(10**400), "a number in [0, 1]"),
        (dict[str, bool | Share | str], {"nesterov": True, "momentum": 0.9, "mode": "x"}, None),
        (dict[str, bool | Share | str], {"momentum": 2.0}, "a number in [0, 1]"),
        (float, math.nan, None),
    ],
)
def test_a_value_against_a_type(hint: Any, value: Any, fault: str | None) -> None:
    class Owner:
        def __init__(self, option: Any) -> None: ...

    Owner.__init__.__annotations__["option"] = hint
    if fault is None:
        check_options(Owner, {"option": value, "another": -1})
        return
    with pytest.raises(ValueError, match=r"^Owner: option=.* is out of range") as error:
        check_options(Owner, {"option": value})
    assert str(error.value).endswith(f"give {fault}.")


def test_a_subclass_of_a_person_is_checked_as_well_and_may_widen_a_range() -> None:
    class Mine(callbacks.OnlineKNN):
        def __init__(self, k: int = 20, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.k = k

    with pytest.raises(ValueError, match=r"^Mine: temperature=0 is out of range"):
        Mine(temperature=0)
    assert Mine(k=-1).k == -1


def test_learning_rates_end_at_a_thousand() -> None:
    rates = {(name, str(hint)): hint for cls in CLASSES for name, hint in own_types(cls).items() if name in RATES}
    assert {name for name, _ in rates} == RATES
    for (name, _), hint in rates.items():
        many = hint is LearningRates
        check_values("any", {name: hint}, {name: [1000.0] if many else 1000.0})
        with pytest.raises(ValueError, match=rf"{name}=.*100000.* is out of range"):
            check_values("any", {name: hint}, {name: [1e5] if many else 1e5})


def test_the_range_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--model.help", "IJEPA"])
    assert "(type: Annotated[float, in (0, 1000]], default: 0.001)" in " ".join(capsys.readouterr().out.split())


def test_the_command_line_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--model", "IJEPA", "--data", "ShapesDataModule", "--model.lr", "-1"])
    assert exit_.value.code == 1
    assert (
        capsys.readouterr().err == "jepa-lightning: error: IJEPA: lr=-1 is out of range: give a number in (0, 1000].\n"
    )
