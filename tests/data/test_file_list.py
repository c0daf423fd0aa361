import pytest

from jepa_lightning.data.file_list import FileList
from jepa_lightning.data.file_walk import MediaFile
from jepa_lightning.data.videos.manifest import VideoPart


def test_records_are_those_that_were_given() -> None:
    parts = [VideoPart("b/weiß 映画.mp4", "b", 0.5, 2.0), VideoPart("\udcff.mp4", None), VideoPart("", "a", 0.0, None)]
    files = FileList(parts)
    assert list(files) == parts
    assert files[-1] == parts[-1]
    assert list(FileList([MediaFile("1.png", "x"), MediaFile("2.png", None)])) == [("1.png", "x"), ("2.png", None)]
    assert list(FileList([])) == []
    with pytest.raises(IndexError):
        files[3]
