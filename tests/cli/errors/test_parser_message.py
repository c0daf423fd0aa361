from typing import Any

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from jepa_lightning.cli.errors.parser_message import faults


class Inner:
    def __init__(self, size: int = 1, pair: tuple[float, float] = (0.0, 1.0), mode: float | None = None) -> None:
        pass


class Outer:
    def __init__(self, inner: Inner | None = None, parts: list[Inner] | Inner | None = None, name: str = "") -> None:
        pass


def message(*arguments: str) -> str:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Outer, "outer")
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args([f"--outer={__name__}.Outer", *arguments])
    return str(caught.value)


@pytest.fixture(autouse=True)
def importable(monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or type(sys)(__name__))
    for cls in (Inner, Outer):
        monkeypatch.setattr(sys.modules[__name__], cls.__name__, cls, raising=False)


def test_the_innermost_option_is_named_with_the_value() -> None:
    found = faults(message(f"--outer.inner={__name__}.Inner", "--outer.inner.size=big"))
    assert [(fault.key, fault.value) for fault in found] == [("outer.inner.size", "big")]
    assert found[0].classes[-1].endswith(".Inner")


def test_every_type_of_an_option_is_a_fault() -> None:
    found = faults(message("--outer.parts=5"))
    assert {fault.key for fault in found} == {"outer.parts"}
    assert len(found) > 1


def test_an_option_of_the_first_class_that_was_tried_counts() -> None:
    text = (
        'Parser key "trainer.callbacks":\n  Does not validate against any of the Union subtypes\n  Errors:\n'
        "    - Problem with given class_path 'mine.Probe':\n        Parser key \"k\":\n"
        "          Expected a <class 'int'>. Got value: abc\n"
        "    - Problem with given class_path 'lightning.Callback':\n        Option 'k' is not accepted\n"
        "  Given value: NestedArg(key='k', val='abc')"
    )
    (fault,) = faults(text)
    assert (fault.key, fault.classes, fault.value) == ("trainer.callbacks.k", ("mine.Probe",), "abc")


def test_text_without_a_key_is_a_fault_of_its_own() -> None:
    (fault,) = faults("unrecognized arguments: --x")
    assert (fault.key, fault.text) == ("", "unrecognized arguments: --x")


def test_the_faults_of_a_file_that_is_the_value_of_an_option_are_found() -> None:
    text = (
        'Parser key "trainer":\nUnable to load config \'more.yaml\'\n  - Parser key "trainer.max_steps":\n'
        "    Expected a <class 'int'>. Got value: x"
    )
    (fault,) = faults(text)
    assert (fault.key, fault.value) == ("trainer.max_steps", "x")
