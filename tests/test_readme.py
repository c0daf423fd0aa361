"""Every block of the READMEs runs, or is parsed by the parser of its command; what does neither is named below."""

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lightning import IJEPA
from jepa_lightning.callbacks.summary import MEASURES
from jepa_lightning.cli.main import main

ROOT = Path(__file__).parents[1]
FILES = ("README.md", "configs/README.md", "examples/README.md", "CONTRIBUTING.md")
# what makes the Python blocks small
SMALLER = {
    "max_epochs=2,": "max_steps=2, val_check_interval=2, check_val_every_n_epoch=None, limit_val_batches=1,",
    "max_epochs=100": "max_steps=2",
    "max_epochs=10)": "max_steps=2)",
    '["init_args"]': '["init_args"] | {"width": 48, "heads": 3}',
    "ShapesDataModule()": "ShapesDataModule(num_train=64, num_val=16, batch_size=16, num_workers=0)",
    "ShapesDataModule(num_workers=0)": "ShapesDataModule(num_train=64, num_val=16, batch_size=16, num_workers=0)",
    "batch_size=64, shuffle=True, drop_last=True, num_workers=4": "batch_size=4, shuffle=True",
}
# Python blocks that need a package that the tests do not have
PACKAGES = ("optuna", "pl_bolts")
# and commands on procedural data, of which these run for two steps; others are parsed
FEW = "--trainer.max_steps=2 --trainer.val_check_interval=2 --trainer.accelerator=cpu"
SMALL_DATA = "--data.batch_size=16 --data.num_workers=0 --data.num_train=64 --data.num_val=16"
# commands that nothing here runs
NOT_RUN = {
    "python3 -m venv": "makes an environment; CI runs the line of README with it",
    "pip install": "needs the network; its extras are looked up in setup.cfg",
    "python -m pytest": "is this",
    "pre-commit install": "changes the clone",
}


class Block(NamedTuple):
    file: str
    line: int
    language: str
    text: str


def blocks(language: str, *files: str) -> list[Block]:
    return [block for file in files or FILES for block in all_blocks(file) if block.language == language]


def all_blocks(file: str) -> Iterator[Block]:
    text = (ROOT / file).read_text()
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(file, text[: found.start(2)].count("\n") + 1, found[1], found[2])


def commands(*files: str) -> list[str]:
    """Each command once, without the folder of its environment."""
    lines = [line for block in blocks("bash", *files) for line in block.text.replace("\\\n", " ").splitlines()]
    found = [part.strip().replace(".venv/bin/", "") for line in lines for part in line.split("&&")]
    return list(dict.fromkeys(found))


OWN = ("methods", "consolidate", "convert", "export", "inspect", "pack", "collect", "plan", "evaluate")
OURS = [command for command in commands() if command.startswith("jepa-lightning ")]
SCRIPTS = [command for command in commands() if command.startswith("python examples/")]


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder like a clone, with images of one's own and a class of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("configs").symlink_to(ROOT / "configs")
    for folder in ("DIR/train", "DIR/val", "images/train"):
        for i in range(16):
            path = Path(folder, ("cat", "dog")[i % 2], f"{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(i).integers(0, 256, (56, 56, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
            if i < 2:
                Image.fromarray(noise).save(f"{'ab'[i]}.jpg")
    (own,) = (block.text for block in blocks("python", "README.md") if "class L1IJEPA" in block.text)
    Path("my_file.py").write_text(f"from jepa_lightning import IJEPA\n\n\n{own}")


def test_blocks_are_of_languages_that_are_tried() -> None:
    assert {block.language for file in FILES for block in all_blocks(file)} == {"bash", "python", "text", "yaml"}
    assert all((ROOT / file).read_text().count("```") == 2 * len([*all_blocks(file)]) for file in FILES)


def test_nothing_is_left_out_without_a_reason() -> None:
    others = [command for command in commands() if command not in {*OURS, *SCRIPTS}]
    assert all(any(command.startswith(start) for start in NOT_RUN) for command in others), others
    assert all(any(command.startswith(start) for command in others) for start in NOT_RUN)
    text = "".join(block.text for block in blocks("python"))
    assert all(old in text for old in SMALLER)
    assert all(f"import {package}" in text or f"from {package}" in text for package in PACKAGES)


def test_extras_exist() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = {extra for names in re.findall(r"\[(.*?)]'", "\n".join(commands())) for extra in names.split(",")}
    assert named
    assert named <= {*setup["options.extras_require"]}


@pytest.mark.parametrize("file", FILES)
def test_links_lead_somewhere(file: str) -> None:
    links = re.findall(r"]\(([^)#]*)#?([^)]*)\)", (ROOT / file).read_text())
    here = [
        ((ROOT / file).parent / link if link else ROOT / file, anchor) for link, anchor in links if "://" not in link
    ]
    assert [place for place, _ in here if not place.exists()] == []
    assert [(place, anchor) for place, anchor in here if anchor and anchor not in anchors_of(place)] == []


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_paths_lead_somewhere() -> None:
    pattern = r"`((?:tests|configs|examples|jepa_lightning)/[\w/.*]+)`"
    named = {path for file in FILES for path in re.findall(pattern, (ROOT / file).read_text())}
    templates = {path for path in named if re.search("NAME|METHOD", path)}
    assert [path for path in named - templates if not [*ROOT.glob(path)]] == []


@pytest.mark.parametrize("command", OURS)
def test_a_command_is_parsed(command: str, capsys: Any) -> None:
    words = shlex.split(command)[1:]
    if words[0] in OWN:  # these have no --print_config
        words, expected = [*words, "--help"], "usage:"
    else:
        words, expected = [word for word in words if word != "--print_config"], "seed_everything:"
        words = [*_without_checkpoint(words), "--print_config"]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: f"{block.file}, line {block.line}")
def test_a_piece_of_a_configuration_is_parsed(block: Block, capsys: Any) -> None:
    Path("piece.yaml").write_text(block.text)
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", "configs/quickstart.yaml", "--config", "piece.yaml", "--print_config"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    named = re.findall(r"class_path: (\w+)$", block.text, re.MULTILINE)
    assert named
    assert all(f".{name}\n" in printed for name in named)


def _without_checkpoint(words: list[str]) -> list[str]:
    """What a run before it would have left is not there."""
    if "--ckpt_path" in words:
        at = words.index("--ckpt_path")
        words = words[:at] + words[at + 2 :]
    return ["configs/quickstart.yaml" if word.startswith("logs/") else word for word in words]


def few(command: str) -> list[str]:
    data = SMALL_DATA.split()
    return [*shlex.split(command)[1:], *FEW.split(), *(data[:2] if "Digits" in command else data)]


def load(path: str) -> ModuleType:
    spec: Any = spec_from_file_location(Path(path).stem, ROOT / path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_script_takes_its_options(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path, *words = shlex.split(command)
    parse: Callable[..., Any] = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *_: Any) -> None:
        parse(parser, words)
        raise StopIteration

    monkeypatch.syspath_prepend(str(ROOT / "examples" / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(StopIteration):
        load(path).main()


def smaller(text: str) -> str:
    for old, new in SMALLER.items():
        text = text.replace(old, new)
    return text


def run_blocks(file: str) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    for block in blocks("python", file):
        missing = [name for name in PACKAGES if name in block.text and find_spec(name) is None]
        code = compile("\n" * (block.line - 1) + smaller(block.text), str(ROOT / file), "exec")
        if not missing:
            exec(code, namespace)


def test_the_first_run_of_the_readme_and_its_python(capsys: Any) -> None:
    first, *_ = (command for command in commands("README.md") if command in OURS)
    main(few(first))
    printed = capsys.readouterr().out
    (shown,) = (block.text for block in blocks("text", "README.md"))
    # numbers apart, the README shows what is printed; the monitor's line needs more steps
    head, columns, *rows, measures = shown.splitlines()
    assert head.split(":")[0] in printed
    assert columns in printed
    labels = [line.split()[0] for line in printed.partition(columns)[2].splitlines()[1:]]
    assert [row.split()[0] for row in rows] == labels[: len(rows)]
    assert all(name in measures for name in MEASURES.values())
    predict = next(command for command in OURS if " predict " in command)
    main([*shlex.split(predict)[1:], *SMALL_DATA.split()])
    assert Path("features.npz").exists()
    run_blocks("README.md")


@pytest.mark.slow
def test_the_python_of_the_guides(monkeypatch: pytest.MonkeyPatch) -> None:
    # a small model under the name of a published one, in the cache where that would be
    model = IJEPA("vit_tiny", image_size=56, patch_size=14, predictor_depth=1, predictor_dim=96)
    entries = {"encoder": "context_encoder", "target_encoder": "target_encoder", "predictor": "predictor"}
    Path("checkpoints").mkdir()
    content = {name: getattr(model, network).state_dict() for name, network in entries.items()}
    torch.save(content, "checkpoints/IN1K-vit.h.14-300e.pth.tar")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: ".")
    run_blocks("examples/README.md")


def test_the_objective_of_the_sweep_gives_an_accuracy() -> None:
    class Trial:
        def suggest_float(self, name: str, low: float, high: float, log: bool) -> float:
            return (low * high) ** 0.5 if log else (low + high) / 2

    namespace: dict[str, Any] = {}
    imports = "from lightning.pytorch import Trainer\nfrom jepa_lightning import IJEPA\n"
    (text,) = (block.text for block in blocks("python", "examples/README.md") if "def objective" in block.text)
    exec(imports + "from jepa_lightning.callbacks import OnlineLinearProbe\n" + smaller(text), namespace)
    assert 0 <= namespace["objective"](Trial()) <= 1


def test_the_measured_table_has_all_methods_on_images(capsys: Any) -> None:
    main(["methods"])
    printed = ([cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines())
    claimed = {name: cells for name, *cells in printed}
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    shown = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    assert len(shown) == 10
    assert {*shown, "VJEPA"} <= {*claimed}
    for name, (predicts, *measured) in shown.items():
        assert predicts == claimed[name][0]
        assert (measured[2] == "none") == (claimed[name][3] == "no")
        assert all(re.fullmatch(r"[\d.]+( ± [\d.]+)? / [\d.]+\*?|none", cell) for cell in measured[:3])
        assert len(re.findall(r"[\d.]+( ± [\d.]+)? / [\d.]+", measured[3])) == measured[3].count("/")


def test_the_layers_are_those_that_are_enforced() -> None:
    layers = load("tests/test_layers.py")
    (picture,) = (block.text for block in blocks("text", "CONTRIBUTING.md"))
    rows = re.sub(r"\n {8,}", " ", picture).splitlines()[1:]
    shown = {unit: (float(layer), may) for layer, unit, may in (row.split(maxsplit=2) for row in rows)}
    assert {unit: layer for unit, (layer, _) in shown.items()} == layers.LAYERS
    for unit, (_, may) in shown.items():
        if unit in layers.ALLOWED:
            assert {name for name in may.split(", ") if name != "-"} == layers.ALLOWED[unit], unit
        else:
            assert may == ("cli" if unit == "__main__" else "all lower layers")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


RUNS = [
    command
    for command in OURS
    if " fit " in command and not re.search("DIR|SHARDS|last|imagenet|vjepa|train.csv|rooms.h5|print_config", command)
]


@pytest.mark.slow
@pytest.mark.parametrize("command", RUNS)
def test_a_training_command_trains(command: str, capsys: Any) -> None:
    main(few(command))
    assert "2 steps in" in capsys.readouterr().out


@pytest.mark.slow
def test_commands_on_images_of_ones_own(capsys: Any) -> None:
    of_own = [command for command in commands("README.md") if "ImageFolderDataModule" in command]
    (train,) = (command for command in of_own if " fit " in command)
    few_images = [*FEW.split(), "--data.batch_size=4", "--data.num_workers=0"]
    main([*shlex.split(train)[1:], *few_images])
    without_labels = "--trainer.callbacks CollapseMonitor"
    assert without_labels in (ROOT / "README.md").read_text()
    main([*shlex.split(train.replace("DIR", "DIR/train/cat") + f" {without_labels}")[1:], *few_images])
    assert "no probe has found labels" in capsys.readouterr().out
    (again,) = (command for command in commands("README.md") if "--ckpt_path last" in command)
    (pack,) = (command for command in OURS if " pack " in command)
    first = next(command for command in commands("README.md") if command in OURS)
    main(few(first))
    main([*few(again), "--trainer.max_steps=4"])
    assert "steps 3 to 4" in capsys.readouterr().out
    if find_spec("litdata"):
        main(shlex.split(pack)[1:])
        (stream,) = (command for command in OURS if "--data.root SHARDS" in command)
        main([*shlex.split(stream)[1:], *few_images])
        assert "2 steps in" in capsys.readouterr().out
