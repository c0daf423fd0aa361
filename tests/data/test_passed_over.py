import warnings
from pathlib import Path

import pytest

from jepa_lightning.data.passed_over import PassedOver


def test_there_is_one_warning_for_each_reason() -> None:
    passed = PassedOver(Path("DIR"), (".png", ".jpg"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passed.warn("images")
    for name in ("1.avif", "2.AVIF", "notes"):
        passed.count_ending(name)
    passed.special.append("DIR/pipe.png")
    passed.shards.append("DIR/out/train")
    passed.repeated.extend(f"DIR/{i}.png" for i in range(4))
    with pytest.warns(UserWarning, match="are not read") as caught:
        passed.warn("images")
    assert [str(warning.message) for warning in caught] == [
        "3 files in DIR are not read as images, because of their endings: .avif (2), none (1). Endings that are read: "
        ".png, .jpg.",
        "1 entries in DIR are not read, because they are not regular files: DIR/pipe.png.",
        "4 entries in DIR are not read, because they are links to what is found elsewhere: DIR/0.png, DIR/1.png, "
        "DIR/2.png, ....",
        "1 entries in DIR are not read, because they are shards that `jepa-lightning pack` wrote: DIR/out/train.",
    ]


def test_an_empty_folder_is_named_and_so_are_shards() -> None:
    passed = PassedOver(Path("DIR"), (".png",))
    assert str(passed.missing("images", "looked for .png")) == "there are no images in DIR: looked for .png."
    passed.shards.append("DIR/train")
    assert str(passed.missing("images", "looked for .png")) == (
        "there are no images in DIR: it holds shards that `jepa-lightning pack` wrote, which StreamingImageDataModule "
        "reads."
    )
