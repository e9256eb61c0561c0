import zipfile
from pathlib import Path

import pytest

from engine.downloads import official_data
from engine.downloads.download import DownloadError
from engine.downloads.official_data import OfficialData
from engine.errors import DataError


def draw(dest: Path) -> Path:
    (dest / "set").mkdir(parents=True)
    return dest / "set"


OFFICIAL = OfficialData(folder="set", mark="train", url="https://host/set.zip", sha256="0", size=1, draw=draw)


def test_found_then_downloaded_then_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DownloadError("no network")

    monkeypatch.setattr(official_data, "download", refuse)
    OFFICIAL.prepare(tmp_path / "empty", stand_in=True)
    assert OFFICIAL.locate(tmp_path / "empty") == (tmp_path / "empty" / "stand-in" / "set", True)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(
        DataError,
        match=r"nothing.set does not exist, and no network Or set datamodule.data_dir=DIR to a folder with set/",
    ):
        OFFICIAL.prepare(tmp_path / "nothing", stand_in=False)

    def give(url: str, dest: Path, *_: object) -> Path:
        with zipfile.ZipFile(dest, "w") as file:
            file.writestr("set/train/1", "")
        return dest

    monkeypatch.setattr(official_data, "download", give)
    (tmp_path / "fetched").mkdir()
    OFFICIAL.prepare(tmp_path / "fetched", stand_in=False)
    assert OFFICIAL.locate(tmp_path / "fetched") == (tmp_path / "fetched" / "set", False)

    monkeypatch.setattr(official_data, "download", refuse)
    OFFICIAL.prepare(tmp_path / "fetched", stand_in=False)  # there already: nothing is asked for


@pytest.mark.parametrize("link", [False, True])
def test_what_is_no_folder_is_no_reason_for_a_stand_in(link: bool, tmp_path: Path) -> None:
    if link:
        (tmp_path / "set").symlink_to("/nowhere/set")  # a disk that is not mounted
    else:
        (tmp_path / "set").write_text("")
    with pytest.raises(DataError, match="set is a file or a dangling link, where a folder was expected"):
        OFFICIAL.prepare(tmp_path, stand_in=True)
    assert not (tmp_path / "stand-in").exists()


def test_an_archive_that_is_not_the_official_one_is_no_reason_for_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tampered(*_: object) -> None:
        raise DataError("not the official archive")

    monkeypatch.setattr(official_data, "download", tampered)
    with pytest.raises(DataError, match="not the official archive"):
        OFFICIAL.prepare(tmp_path, stand_in=True)
