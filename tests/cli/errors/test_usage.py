import pytest

from jepa_lightning.cli.errors import explain_usage
from jepa_lightning.cli.errors.usage import unknown_command


def union(*errors: str, given: str) -> str:
    lines = "\n".join(f"    - {error}" for error in errors)
    return f'Parser key "trainer.x":\n  Does not validate against any\n  Errors:\n{lines}\n  Given value: {given}'


@pytest.mark.parametrize(
    ("errors", "line"),
    [
        (["Expected a <class 'int'>"], "trainer.x: expected int, got v"),
        (["Expected a <class 'int'>", "Expected a <class 'float'>"], "trainer.x: expected int or float, got v"),
        (["Expected <class 'mine.Size'>", "Expected a <class 'NoneType'>"], "trainer.x: expected Size, got v"),
        (
            ["Expected a typing.Literal['a', 'b']", "Expected a <class 'int'>", "Expected a typing.Literal['b', 'c']"],
            "trainer.x: expected int or one of 'a', 'b', 'c', got v",
        ),
        (["Not of type Share: restriction v>=0 and v<=1"], "trainer.x: expected a value with value >=0 and value <=1"),
        (["something of its own"], "trainer.x: something of its own, got v"),
    ],
)
def test_the_types_of_an_option_are_named_together(errors: list[str], line: str) -> None:
    assert explain_usage(union(*errors, given="v")).startswith(line)


def test_a_long_value_is_shortened() -> None:
    assert len(explain_usage(union("Expected a <class 'int'>", given="x" * 5000))) < 200


@pytest.mark.parametrize(
    "message",
    [
        "argument subcommand: invalid choice: 'optimise' (choose from 'fit', 'validate', 'test', 'predict')",
        "argument subcommand: invalid choice: 'optimise' (choose from fit, validate, test, predict)",
    ],
)
def test_an_unknown_command_has_a_near_match_and_the_list_of_all(message: str) -> None:
    line = explain_usage(message)
    assert line == unknown_command("optimise")
    assert line.startswith("there is no command 'optimise': did you mean 'optimize'? Commands: fit, validate, test, ")
    assert "pack, optimize, collect, consolidate" in line


def test_a_missing_command_has_the_list_of_all() -> None:
    line = explain_usage('expected "subcommand" to be one of {fit,validate}, but it was not provided.')
    assert line.startswith("no command is given. Commands: fit, ")


def test_a_value_where_a_class_is_needed() -> None:
    message = (
        'Parser key "model":\n  Does not validate against any of the Union subtypes\n  Errors:\n'
        "    - Not a valid subclass of JEPAModule. Got value: 3\n      Subclass types expect one of:\n"
        "      - a class path (str)\n    - Expected a <class 'NoneType'>\n  Given value: 3"
    )
    assert explain_usage(message) == "model: expected the name or class_path of a JEPAModule, got 3"
    assert explain_usage('Parser key "data":\n  Expected a dot import path string: ').endswith("class, got ''")
    assert explain_usage("Parser key \"model.lr\":\n  Expected a <class 'float'>. Got value: ") == (
        "model.lr: expected float, got ''"
    )


def test_an_argument_that_is_no_option_is_not_asked_for_as_one() -> None:
    message = 'Key "output" is required but not included in config object or its value is None.'
    assert explain_usage(message) == "--output is required."
    assert explain_usage(message, "output") == "the output is missing: give it as the last argument, without --output."
