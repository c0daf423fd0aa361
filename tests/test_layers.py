"""The layers of the package: a file imports only from its own folder and from lower layers."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jepa_lightning"
LAYERS = {
    "types": 0, "options": 0, "renamed_options": 0, "rank_variables": 0, "submodules": 0,
    "nn": 1, "losses": 1, "masking": 1, "optim": 1, "ema": 1, "distributed": 1, "features": 1, "seeding": 1,
    "checkpoints": 1, "probing": 1, "energy": 1, "report": 1, "worlds": 1,
    "data": 2, "planning": 2,
    "interop": 2.25,
    "modules": 2.5,
    "callbacks": 3,
    "evaluation": 3.5,
    "cli": 4, "__main__": 4,
    "__init__": 5,
}  # fmt: skip
# what these may import from the package, beside their own folder
ALLOWED = {
    "types": set(),
    "options": set(),
    "renamed_options": set(),
    "rank_variables": set(),
    "submodules": set(),
    "nn": {"types"},
    "losses": {"types", "distributed"},
    "masking": {"types"},
    "optim": {"types", "options"},
    "ema": {"types", "options", "optim", "submodules"},
    "distributed": {"types", "checkpoints"},
    "checkpoints": {"renamed_options"},
    "features": set(),
    "seeding": set(),
    "probing": {"types", "options", "nn"},
    "energy": {"types", "features", "nn", "masking"},
    "report": set(),
    "worlds": set(),
    # what it writes appears whole, as checkpoints do
    "data": {"types", "options", "masking", "seeding", "worlds", "checkpoints.whole"},
    # a module brings its pipeline, and adds the EMA of its targets by itself
    "modules": {
        "types", "options", "renamed_options", "nn", "losses", "masking", "optim", "ema", "distributed", "energy",
        "features", "seeding", "checkpoints", "probing",
        "data.channels", "data.collate", "data.pipelines", "data.augmentation", "data.videos.clips",
        "data.videos.stills", "data.videos.action_clips",
        "interop.pretrained", "interop.own_folder", "interop.folders", "interop.model_card",
        "interop.start",
    },
    # formats know networks and state dicts, and are given the class of a module
    "interop": {"types", "options", "nn", "checkpoints", "data", "features"},
    # planners know a cost and bounds, neither a network nor an environment, which is made by its name
    "planning": {"options", "worlds"},
    # callbacks go by contracts, never by networks or a concrete module
    "callbacks": {
        "types", "options", "losses", "distributed", "ema", "optim", "features", "checkpoints", "probing", "report",
        "submodules", "energy", "planning", "worlds", "interop.start",
    },
}  # fmt: skip
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


@pytest.mark.parametrize(
    ("file", "line", "allowed"),
    [
        ("nn/vit.py", "from jepa_lightning.nn.init import init_weights", True),
        ("nn/vit.py", "from jepa_lightning.masking import MultiBlockMask", False),
        ("types.py", "import jepa_lightning.ema", False),
        ("data/base.py", "from jepa_lightning.modules import JEPAModule", False),
        ("modules/base.py", "from jepa_lightning.data.pipelines import Pipeline", True),
        ("modules/base.py", "from jepa_lightning.data import ShapesDataModule", False),
        ("modules/base.py", "from jepa_lightning.ema import EMACallback", True),
        ("modules/base.py", "from jepa_lightning.callbacks import Summary", False),
        ("callbacks/probes/knn.py", "def f():\n    from jepa_lightning.nn import vit", False),
        ("evaluation/linear.py", "from jepa_lightning.cli import main", False),
        ("cli/main.py", "from jepa_lightning.cli.errors import explain", True),
    ],
)
def test_the_rule_itself(file: str, line: str, allowed: bool) -> None:
    found = imports(line)
    assert found
    assert all(may_import(file, name) for name in found) is allowed
