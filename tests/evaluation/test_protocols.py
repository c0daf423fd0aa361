from typing import get_type_hints

from jepa_lightning.evaluation.protocols import DENSE, DETECTION, FINETUNE, NAMES, POOLED, PROPAGATION, TOKENS, WANTED
from jepa_lightning.evaluation.tasks import Record, Settings, Task


def test_each_name_is_of_one_protocol_and_of_one_kind() -> None:
    assert len({*NAMES}) == len(NAMES) == len(POOLED) + len(TOKENS) + len(DENSE) + 2
    assert {*POOLED, *TOKENS, *DENSE, FINETUNE, PROPAGATION} == {*NAMES}
    assert DETECTION in DENSE
    assert not any("," in name or name != name.strip() for name in NAMES)  # they are given separated by commas


def test_a_protocol_is_what_has_its_name() -> None:
    for name, run in {**POOLED, **TOKENS}.items():
        assert run.__name__ == name
        hints = get_type_hints(run)
        assert (hints["task"], hints["settings"]) == (Task, Settings)


def test_a_protocol_that_may_have_nothing_for_a_label_says_what_it_wants() -> None:
    may_be_none = {name for name, run in {**POOLED, **TOKENS}.items() if get_type_hints(run)["return"] != Record}
    assert may_be_none == WANTED.keys()
    assert all(text.startswith(f"{name} ") and text.endswith(": leave it out.") for name, text in WANTED.items())
