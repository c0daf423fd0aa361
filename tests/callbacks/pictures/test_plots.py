import sys

from jepa_lightning.callbacks.pictures.plots import as_image, missing_matplotlib, new_figure


def test_a_figure_is_an_image_of_its_size_and_none_of_pyplots():
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = pyplot.get_fignums() if pyplot else []
    figure, axes = new_figure(3, 2)
    axes.plot([0, 1], [0, 1], color="#ff0000")
    image = as_image(figure)
    assert (image.mode, image.size) == ("RGB", (330, 220))
    assert (255, 0, 0) in {color for _, color in image.getcolors(100_000)}
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert (pyplot.get_fignums() if pyplot else []) == before


def test_matplotlib_is_there_in_the_tests():
    assert missing_matplotlib() is None
