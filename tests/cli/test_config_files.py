import locale
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.cli.config_files import MAX_BYTES, check_arguments, check_config
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.main import main


def refused(path: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        check_config(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", " is empty: a configuration is a mapping of options"),
        (b"# nothing\n", " is empty: "),
        (b"[1, 2]", " holds a list: "),
        (b"just text", " holds text: "),
        ("lr: ü".encode("latin-1"), " is not in UTF-8 (byte 4): save it in UTF-8."),
        ("lr: 1".encode("utf-16"), " is not in UTF-8 but in UTF-16 (byte 0): save it in UTF-8."),
        (b"trainer:\n\tmax_steps: 1\n", ", line 2: not YAML, while scanning for the next token found character that "),
        (b"a: 1\nb: {c: 2, c: 3}\n", ": 'b.c' is given twice, in lines"),
        (b"a: \x00\n", " is not YAML: "),
        (b"lr: 1\n" * (MAX_BYTES // 6 + 1), " has 5 MB, and a configuration at most 5 MB: is it another file?"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    if b"c: 2" in content:  # both in one line
        path.write_bytes(content.replace(b"c: 2, ", b"c: 2,\n"))
    assert refused(path).startswith(f"{path}{said}")


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert refused(tmp_path / "pipe.yaml").endswith(
        "is a pipe or a device: write it to a file first, since it is read more than once."
    )
    assert "is a pipe or a device" in refused("/dev/zero")
    assert refused(tmp_path).endswith("is a folder: give the configuration file in it.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "--config", "PIPE"],
        ["fit", "--config=PIPE"],
        ["fit", "-c", "PIPE"],
        ["fit", "--model", "PIPE"],
        ["fit", "--trainer.callbacks+=PIPE"],
    ],
)
def test_pipes_and_devices_among_the_arguments_do_not_hang(tmp_path: Path, arguments: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is a pipe or a device"):
        check_arguments([argument.replace("PIPE", str(tmp_path / "pipe")) for argument in arguments])


@pytest.mark.parametrize("arguments", [["--config", ""], ["--config="], ["-c"]])
def test_a_configuration_without_a_name(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"names no file: give the path of a configuration file\."):
        check_arguments(["fit", *arguments])


def test_a_class_among_the_arguments_has_the_form_of_one_in_a_file() -> None:
    for option, value in {"--model": "{class_path: IJEPA, init_arg: {}}", "--trainer.callbacks+": "[{}]"}.items():
        with pytest.raises(UsageError, match=r"^command line: "):
            check_arguments(["fit", f"{option}={value}"])
    check_arguments(["fit", "--model", "{class_path: IJEPA}", "--trainer.callbacks", "[OnlineKNN]", "--model", "{"])


def test_a_tag_that_would_run_code_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("data: null\nmodel: !!python/object/apply:os.mkdir [ran]\n")
    assert refused(tmp_path / "c.yaml").startswith(f"{tmp_path}/c.yaml, line 2: not YAML, could not determine a const")
    assert not Path("ran").exists()


def test_other_arguments_are_left_alone(tmp_path: Path) -> None:
    check_arguments(["fit", "--config", "nowhere.yaml", "--model", "IJEPA", "--data.root", str(tmp_path), "--model"])
    check_config(tmp_path / "nowhere.yaml")
    check_config("s3://bucket/c.yaml")


def test_a_mark_of_the_byte_order_and_other_letters_are_read(tiny_cli: str, capsys: Any) -> None:
    Path("more.yaml").write_bytes("\ufefftrainer: {default_root_dir: lögs, max_steps: 1}".encode())
    main(["fit", "--config", tiny_cli, "--config", "more.yaml"])
    assert list(Path("lögs").rglob("last.ckpt"))
    (saved,) = Path("lögs").rglob("config.yaml")
    main(["fit", "--config", str(saved)])


def test_letters_that_the_locale_lacks(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("trainer: {default_root_dir: lögs}", encoding="utf-8")
    monkeypatch.setattr(locale, "getpreferredencoding", lambda _: "ANSI_X3.4-1968")
    assert refused(path).endswith(
        "has characters that the locale of this shell, ANSI_X3.4-1968, lacks: set PYTHONUTF8=1."
    )


@pytest.mark.slow
@pytest.mark.parametrize("where", ["path", "content"])
def test_an_ascii_locale(tiny_cli: str, where: str) -> None:
    Path("more.yaml").write_text("trainer: {default_root_dir: lögs}", encoding="utf-8")
    more = ["--trainer.default_root_dir", "lögs"] if where == "path" else ["--config", "more.yaml"]
    result = subprocess.run(
        [sys.executable, "-m", "jepa_lightning", "fit", "--config", tiny_cli, "--trainer.max_steps", "1", *more],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, capture_output=True,
    )  # fmt: skip
    last = result.stderr.decode(errors="replace").splitlines()[-1:]
    assert b"Traceback" not in result.stderr, result.stderr.decode(errors="replace")
    if result.returncode:
        assert last[0].startswith("jepa-lightning: error: ")
        assert last[0].endswith("set PYTHONUTF8=1.")
    else:
        assert list(Path("lögs").rglob("last.ckpt"))
