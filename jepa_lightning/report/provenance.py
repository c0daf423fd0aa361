"""What a run was made with: the command, the versions, the commit."""

import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jepa_lightning

PACKAGES = ("torch", "lightning", "timm")
SECONDS = 2  # for git


def command_line() -> str:
    """The command line of this process, as it could be typed again."""
    program, *arguments = sys.argv or [""]
    path = Path(program)
    if path.name == "__main__.py":
        return shlex.join(["python", "-m", path.parent.name, *arguments])
    return shlex.join([path.name, *arguments] if path.suffix != ".py" else ["python", program, *arguments])


def versions() -> dict[str, str]:
    """Versions by name, with the commit where the package runs from a clone."""
    found = {"jepa_lightning": jepa_lightning.__version__}
    if commit := _commit():
        found["commit"] = commit
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a build of its own that is on the path alone
            continue
    return {**found, "Python": platform.python_version(), "system": platform.platform(terse=True)}


def _commit() -> str:
    """The commit of the clone that the package, or the working folder, is in; ``""`` where there is none."""
    package = Path(jepa_lightning.__file__).parent
    clone = next((each for each in (package.parent, Path.cwd()) if _is_clone(each)), None)
    if clone is None:
        return ""
    command = ["git", "-C", str(clone), "describe", "--always", "--dirty= and changes", "--abbrev=12", "--exclude=*"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):  # without git, or a folder of another user's
        return ""
    return said.stdout.strip()


def _is_clone(folder: Path) -> bool:
    return (folder / ".git").exists() and (folder / "jepa_lightning" / "__init__.py").is_file()
