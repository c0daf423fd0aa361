"""The layers of the package: a file imports only from its own folder and from lower layers."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jepa_lightning"
LAYERS = {
    "types": 0, "options": 0,
    "nn": 1, "losses": 1, "masking": 1, "optim": 1, "ema": 1, "distributed": 1, "eval_mode": 1, "encode": 1,
    "chance": 1, "checkpoints": 1,
    "data": 2,
    "modules": 2.5,
    "callbacks": 3, "interop": 3, "evaluation": 3,
    "cli": 4, "cli_trainer": 4, "strategies": 4, "methods": 4, "optimize": 4, "consolidate": 4, "errors": 4,
    "trainer_options": 4, "config_files": 4, "config_yaml": 4, "null_options": 4,
    "__init__": 4, "__main__": 4, "rank_variables": 0,
    "run_folder": 4, "run_lock": 4, "default_callbacks": 4, "resume": 4,
}  # fmt: skip
# what these may import from the package, beside their own folder
ALLOWED = {
    "types": set(),
    "options": set(),
    "nn": {"types"},
    "losses": {"types", "distributed"},
    "masking": {"types"},
    "optim": {"types", "options"},
    "ema": {"types"},
    "distributed": {"types"},
    "eval_mode": set(),
    "checkpoints": set(),
    "encode": set(),
    "chance": set(),
    "data": {"types", "options", "masking", "chance"},
    # a module brings its pipeline, and adds the EMA of its targets by itself
    "modules": {
        "types",
        "options",
        "nn",
        "losses",
        "masking",
        "optim",
        "ema",
        "distributed",
        "encode",
        "chance",
        "data.pipelines",
        "data.augmentation",
        "data.video",
        "callbacks.ema",
        "checkpoints",
    },
    # callbacks go by contracts, never by networks or a concrete module
    "callbacks": {
        "types",
        "options",
        "nn.attention",  # layers of the attentive poolers
        "nn.blocks",
        "losses",
        "distributed",
        "ema",
        "optim",
        "eval_mode",
        "encode",
        "checkpoints",
    },
}
# callbacks that modules add by themselves rest on the lowest layer alone, so that no circle can arise
ADDED_BY_MODULES = ("callbacks/ema.py",)
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def unit(name: str) -> str:
    """Folder, or file at the top, of a file or a module."""
    return name.removeprefix("jepa_lightning").strip("./").replace("/", ".").removesuffix(".py").split(".")[0]


def imports(source: str) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            # a name may be a module itself
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("jepa_lightning.") and is_module(name)}


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def may_import(importer: str, name: str) -> bool:
    """Whether a file may import a module of the package."""
    here, there = unit(importer), unit(name)
    if here == there:
        return True
    if here not in ALLOWED:
        return LAYERS[there] < LAYERS[here] or LAYERS[here] == LAYERS[there] == 4
    short = name.removeprefix("jepa_lightning.")
    return any(short == allowed or short.startswith(f"{allowed}.") for allowed in ALLOWED[here])


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_from_its_folder_and_lower_layers_only(file: str) -> None:
    assert unit(file) in LAYERS, f"{file} is in no layer: give it one here and in the design."
    wrong = {name for name in imports((PACKAGE / file).read_text()) if not may_import(file, name)}
    assert not wrong


@pytest.mark.parametrize("file", ADDED_BY_MODULES)
def test_what_modules_add_by_themselves_rests_on_the_lowest_layers(file: str) -> None:
    assert all(LAYERS[unit(name)] <= 1 for name in imports((PACKAGE / file).read_text()))


@pytest.mark.parametrize(
    ("file", "line", "allowed"),
    [
        ("nn/vit.py", "from jepa_lightning.nn.init import init_weights", True),
        ("nn/vit.py", "from jepa_lightning.masking import MultiBlockMask", False),
        ("types.py", "import jepa_lightning.ema", False),
        ("data/base.py", "from jepa_lightning.modules import JEPAModule", False),
        ("modules/base.py", "from jepa_lightning.data.pipelines import Pipeline", True),
        ("modules/base.py", "from jepa_lightning.data import ShapesDataModule", False),
        ("modules/base.py", "from jepa_lightning.callbacks.ema import EMACallback", True),
        ("modules/base.py", "from jepa_lightning.callbacks import ema", False),
        ("callbacks/knn.py", "def f():\n    from jepa_lightning.nn import vit", False),
        ("evaluation/linear.py", "from jepa_lightning.cli import main", False),
        ("cli.py", "from jepa_lightning.errors import explain", True),
    ],
)
def test_the_rule_itself(file: str, line: str, allowed: bool) -> None:
    found = imports(line)
    assert found
    assert all(may_import(file, name) for name in found) is allowed
