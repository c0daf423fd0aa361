"""Pictures that need matplotlib, which is an extra of this package."""

from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110


def missing_matplotlib() -> str | None:
    """What to do if matplotlib is not installed; None if it is."""
    if find_spec("matplotlib"):
        return None
    return "it needs matplotlib, which is not installed: pip install '.[examples]'."


def new_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of a size in inches with one pair of axes, apart from pyplot's own figures."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_image(figure: "Figure") -> Image.Image:
    """The figure in pixels."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")
