"""Packages that are not installed, in one line with the command that installs them."""

import re
import traceback
from pathlib import Path

from jepa_lightning.cli.errors.text import one_line

# packages of the same name as their modules are left out
PACKAGES = {"comet_ml": "comet-ml", "PIL": "pillow", "sklearn": "scikit-learn", "cv2": "opencv-python"}


def explain_missing_package(error: ImportError) -> str | None:
    """One line about a module that cannot be imported; None if it is a part of this package, which is then broken.

    Args:
        error: of the import.
    """
    text, name = str(error), error.name or ""
    if name.startswith("jepa_lightning"):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    where = f", which {Path(frames[-1].filename).name}, line {frames[-1].lineno}, asks for" if frames else ""
    if "pip install" in text:
        return one_line(text.partition("\n")[0] if "pip install" in text.partition("\n")[0] else text)
    if requirement := re.match(r"Requirement '([\w.-]+)[^']*' not met", text):
        return f"the package {requirement[1]} is not installed{where}: pip install {requirement[1]}"
    if isinstance(error, ModuleNotFoundError) and name:
        package = name.partition(".")[0]
        return f"the module {name} is not installed{where}: pip install {PACKAGES.get(package, package)}"
    return f"{one_line(text)}{where}"
