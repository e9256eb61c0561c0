"""The real archive's place is taken by a small one, served over the loopback interface."""

import hashlib
import multiprocessing
import shutil
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datamodules import hymenoptera as module
from datamodules.hymenoptera import Hymenoptera
from datamodules.stand_ins import write as stand_in
from engine.downloads.official_data import StandIn
from engine.errors import DataError
from tests.engine.downloads.server import PAGE, Server


def hymenoptera(data_dir: Path, *, stand_in: StandIn = False) -> Hymenoptera:
    unused = dict.fromkeys(("train_transform", "eval_transform", "mean", "std"))
    numbers = {
        "val_fraction": 0.2,
        "classes": None,
        "test_fraction": 0,
        "num_folds": None,
        "fold": 0,
        "balance": "none",
        "image_size": 32,
        "batch_size": 4,
        "eval_batch_size": 4,
        "num_workers": 0,
        "worker_timeout": 0,
    }
    other: dict[str, Any] = {
        **unused,
        **numbers,
        "num_classes": 2,
        "max_pixels": 10**6,
        "keep_decoded": 0,
        "index_dir": None,
        "seed": 0,
        "seed_split": 0,
    }
    return Hymenoptera(data_dir=str(data_dir), stand_in=stand_in, **other)


def prepared(data_dir: Path, *, stand_in: StandIn = False) -> Hymenoptera:
    datamodule = hymenoptera(data_dir, stand_in=stand_in)
    datamodule.prepare_data()
    datamodule.setup("fit")
    return datamodule


@pytest.fixture(scope="module")
def archive(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("archive") / "hymenoptera_data.zip"
    with zipfile.ZipFile(file, "w") as zipped:
        for photo in sorted(data_dir.rglob("*.*")):
            zipped.write(photo, photo.relative_to(data_dir))
    return file.read_bytes()


@pytest.fixture(autouse=True)
def server(archive: bytes, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    digest = hashlib.sha256()
    for photo in sorted(data_dir.rglob("*.jpg")):
        content, name = photo.read_bytes(), photo.relative_to(data_dir / "hymenoptera_data").as_posix()
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    with Server() as server:
        server.content, server.most = archive, len(archive)
        served = replace(
            module.OFFICIAL,
            url=server.url.replace("set.zip", "hymenoptera_data.zip"),
            size=len(archive),
            sha256=hashlib.sha256(archive).hexdigest(),
        )
        monkeypatch.setattr(module, "OFFICIAL", served)
        monkeypatch.setattr(module, "PHOTOS_SHA256", digest.hexdigest())
        monkeypatch.setattr(stand_in, "HYMENOPTERA", dict.fromkeys(stand_in.HYMENOPTERA, 2))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_download(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    datamodule = prepared(tmp_path / "data")
    assert (datamodule.name, datamodule.source) == ("hymenoptera", "official")
    assert datamodule.counts() == {"train": 16, "val": 12}
    prepared(tmp_path / "data")
    assert len(server.requests) == 1


def test_archive_that_is_there_already_is_not_fetched(server: Server, archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "hymenoptera_data.zip").write_bytes(archive)
    assert prepared(tmp_path).source == "official"
    assert not server.requests


def test_photos_of_ones_own(server: Server, data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    assert prepared(tmp_path).source == "official"
    (tmp_path / "hymenoptera_data" / "val" / "ants" / "0001.jpg").unlink()
    datamodule = prepared(tmp_path)
    assert datamodule.source == "local"
    assert datamodule.counts()["val"] == 11
    assert not server.requests


def stop(server: Server) -> None:
    server.status = 503


def cut(server: Server) -> None:
    server.most = 1000
    server.ranges = False


@pytest.mark.parametrize("spoil", [stop, cut])
def test_no_download_and_no_stand_in(spoil: Callable[[Server], None], server: Server, tmp_path: Path) -> None:
    spoil(server)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError) as caught:
        prepared(tmp_path / "data")
    message = str(caught.value)
    assert str(tmp_path / "data" / "hymenoptera_data") in message
    assert module.OFFICIAL.url in message
    assert "datamodule.data_dir=DIR" in message
    assert "\n" not in message
    assert not (tmp_path / "data" / "hymenoptera_data").exists()


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("nope", "is not a folder: create it first"),
        ("dat", "is not a folder: did you mean .*/data\\?"),
        ("", "does not contain hymenoptera_data/: did you mean .*/data/hymenoptera_data\\?"),
        ("data/hymenoptera_data/train", "did you mean .*/data/hymenoptera_data\\?"),
    ],
)
@pytest.mark.parametrize("stand_in", ["auto", False])
def test_a_folder_that_the_user_gave_is_right_or_an_error(
    given: str, hint: str, stand_in: Any, server: Server, data_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(data_dir, tmp_path / "data")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=rf"datamodule.data_dir={tmp_path / given} .*{hint}"):
        prepared(tmp_path / given, stand_in=stand_in)
    assert sorted(tmp_path.rglob("*")) == before
    assert not server.requests


@pytest.mark.parametrize("given", ["data", "data/hymenoptera_data"])
def test_the_data_sets_own_folder_is_accepted(given: str, server: Server, data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir, tmp_path / "data")
    assert prepared(tmp_path / given).counts() == {"train": 16, "val": 12}


def test_stand_ins_are_drawn_in_the_default_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(server)
    monkeypatch.chdir(tmp_path)
    assert prepared(Path("data"), stand_in="auto").source == "stand-in"


@pytest.mark.parametrize("spoil", [stop, cut])
def test_stand_in(spoil: Callable[[Server], None], server: Server, tmp_path: Path) -> None:
    spoil(server)
    datamodule = prepared(tmp_path, stand_in=True)
    assert datamodule.source == "stand-in"
    assert datamodule.counts() == {"train": 4, "val": 4}
    assert datamodule.classes == ["ants", "bees"]
    assert not (tmp_path / "hymenoptera_data").exists(), "drawn photos lie in a folder of their own"


def test_real_photos_are_taken_once_they_are_there(server: Server, data_dir: Path, tmp_path: Path) -> None:
    stop(server)
    assert prepared(tmp_path, stand_in=True).source == "stand-in"
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    assert prepared(tmp_path, stand_in=True).source == "official"


@pytest.mark.parametrize("page", [False, True])
def test_wrong_file_stops_even_where_a_stand_in_is_allowed(page: bool, server: Server, tmp_path: Path) -> None:
    if page:
        server.content, server.kind = PAGE, "text/html"
    else:
        server.content = server.content[:-1] + b"!"
    with pytest.raises(DataError, match=r"hymenoptera_data\.zip (has|answered with) .* expected: "):
        prepared(tmp_path, stand_in=True)
    assert not list(tmp_path.rglob("*.jpg"))


def test_processes_that_ask_at_once_download_once(server: Server, tmp_path: Path) -> None:
    server.delay = 0.2
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: forking beside threads
        processes = [context.Process(target=prepared, args=(tmp_path,)) for _ in range(4)]
        for process in processes:
            process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(server.requests) == 1
    assert prepared(tmp_path).source == "official"
