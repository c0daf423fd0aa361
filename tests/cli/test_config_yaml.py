import time

import pytest
import yaml

from jepa_lightning.cli.config_yaml import MAX_NODES, check_yaml, load_yaml
from jepa_lightning.cli.errors import UsageError


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr: 1\nwidth: 2\nlr: 3\n", "'lr' is given twice, in lines 1 and 3: keep one of them."),
        ("model: {lr: 1, lr: 2}\n", "'model.lr' is given twice, in line 1: keep one of them."),
        ("a: [{k: 1}, {k: 2, k: 3}]", "'a[1].k' is given twice, in line 1"),
        ("model:\n  lr: 1\n  lr: 1\n", "'model.lr' is given twice, in lines 2 and 3"),
        ("model: {lr: 1}\nmodel: {width: 1}\n", "'model' is given twice, in lines 1 and 2"),
        ("model:\n  lr: 1\nmodel.lr: 2\n", "'model.lr' is given twice, in lines 2 and 3"),
        ("callbacks:\n- {k: 1}\n- k: 1\n  b: {c: 1}\n  k: 2\n", "'callbacks[1].k' is given twice, in lines 3 and 5"),
        ("\"lr\": 1\n'lr': 2\n", "'lr' is given twice"),
        ("a: &a [1, *a]", "the alias *a in line 1 holds itself."),
        (bomb(30), f"more than {MAX_NODES} values, with its aliases written out"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    start = time.process_time()
    with pytest.raises(UsageError) as caught:
        load_yaml(text)
    assert said in str(caught.value)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1}\nb: *a\nc: [*a, *a]",
        "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  <<: *a\n  y: 3",
        "- {k: 1}\n- {k: 1}",
        "{model: {lr: 1e-3}, data: {lr: 2}}",
        "a: {b: {c: 1}}\nb: {c: 1}",
        "x: null",
        "plain",
        "3",
        "",
        "\ufeffa: 1",
        bomb(3),
    ],
)
def test_what_is_read_is_what_yaml_reads(text: str) -> None:
    def numbers(value: object) -> object:
        return repr(value).replace("'0.001'", "0.001").replace("'1e-3'", "0.001")

    assert numbers(load_yaml(text)) == numbers(yaml.safe_load(text))


def test_the_kind_of_a_document() -> None:
    assert [check_yaml(text) for text in ("a: 1", "[1]", "a", "", "# a comment")] == [dict, list, str, None, None]


def test_text_that_is_not_yaml_is_left_to_the_loader() -> None:
    for text in ("a: *unknown", "a: [", "a: b: c", "? {a: 1}\n: 2"):
        with pytest.raises(yaml.YAMLError):
            load_yaml(text)
