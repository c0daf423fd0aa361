import jepa_lightning


def test_completion_shows_what_the_package_exports_and_no_more() -> None:
    shown = {name for name in dir(jepa_lightning) if not name.startswith("__")}
    assert shown == {*jepa_lightning.__all__, *jepa_lightning.FOLDERS} - {"__version__"}
    assert all(hasattr(jepa_lightning, name) for name in shown)
