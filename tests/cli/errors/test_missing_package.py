from collections.abc import Callable

import pytest

from jepa_lightning.cli.errors.missing_package import explain_missing_package


def missing(action: Callable[[], object]) -> str | None:
    try:
        action()
    except ImportError as error:
        return explain_missing_package(error)
    raise AssertionError("nothing was raised")


def test_a_module_that_is_not_installed_is_named_with_where_it_is_asked_for() -> None:
    line = missing(lambda: __import__("no_such_module.part"))
    assert line is not None
    assert line.startswith("the module no_such_module is not installed, which test_missing_package.py, line ")
    assert line.endswith("asks for: pip install no_such_module")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Requirement 'comet-ml>=3' not met. HINT: Try running `pip install -U 'comet-ml>=3'`",
            "Requirement 'comet-ml",
        ),
        ("Requirement 'psutil' not met", "the package psutil is not installed: pip install psutil"),
        ("cannot import name 'x' from 'y'", "cannot import name 'x' from 'y'"),
    ],
)
def test_a_hint_to_install_stays(text: str, line: str) -> None:
    assert (explain_missing_package(ModuleNotFoundError(text)) or "").startswith(line)


def test_a_part_of_this_package_is_never_explained() -> None:
    assert missing(lambda: __import__("jepa_lightning.no_such_part")) is None
