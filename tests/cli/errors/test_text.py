from jepa_lightning.cli.errors.text import near, one_line, shortened


def test_text_is_one_line() -> None:
    assert one_line(" a\n  b\tc ") == "a b c"


def test_a_long_value_keeps_its_ends() -> None:
    value = "a" * 100 + "b" * 100
    assert shortened("short\nvalue") == "short value"
    assert shortened(value, 20) == "a" * 10 + " ... " + "b" * 10


def test_the_nearest_name_is_named() -> None:
    assert near("deptth", {"depth", "width"}) == ": did you mean 'depth'?"
    assert near("nothing", {"depth", "width"}) == "."
