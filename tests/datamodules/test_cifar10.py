import hashlib
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import datamodules.cifar10 as cifar10
from datamodules.cifar10 import CIFAR10
from datamodules.stand_ins import write as stand_in
from engine.downloads import official_data
from engine.downloads.download import DownloadError
from engine.errors import DataError

ROOT = Path(__file__).parents[2]


def build(data_dir: Path, **settings: Any) -> CIFAR10:
    config = OmegaConf.load(ROOT / "conf/datamodule/cifar10.yaml")
    overrides = {"data_dir": str(data_dir), "seed": 0, **settings}
    datamodule: CIFAR10 = instantiate(OmegaConf.merge(config, overrides))
    return datamodule


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise DownloadError("no network")

    monkeypatch.setattr(official_data, "download", refuse)
    monkeypatch.setattr(stand_in, "RECORDS", 100)


@pytest.fixture
def drawn(tmp_path: Path, _offline: None) -> CIFAR10:
    datamodule = build(tmp_path, stand_in=True)
    datamodule.prepare_data()
    datamodule.setup("fit")
    return datamodule


def test_a_stand_in_takes_the_place_of_what_cannot_be_had(drawn):
    assert drawn.source == "stand-in"
    assert drawn.counts() == {"train": 450, "val": 50, "test": 100}
    assert len(drawn.classes) == 10
    assert torch.bincount(drawn.splits["val"][1]).tolist() == [5] * 10
    images, labels = next(iter(drawn.test_dataloader()))
    assert images.shape == (100, 3, 32, 32)
    assert torch.equal(labels, drawn.splits["test"][1])


def test_train_and_validation_images_are_those_of_the_files_each_once(drawn):
    rows = torch.cat([drawn.splits[split][0] for split in ("train", "val")]).flatten(1)
    files = sorted((drawn.data_dir / "stand-in" / "cifar-10-batches-bin").glob("data_batch_*.bin"))
    written = b"".join(file.read_bytes() for file in files)
    expected = sorted(written[start + 1 : start + 3073] for start in range(0, len(written), 3073))
    assert sorted(row.numpy().tobytes() for row in rows) == expected


def test_the_split_depends_on_the_seed(drawn, tmp_path):
    again, other = build(tmp_path), build(tmp_path, seed=1)
    again.setup("fit")
    other.setup("fit")
    assert torch.equal(again.splits["val"][0], drawn.splits["val"][0])
    assert not torch.equal(other.splits["val"][0], drawn.splits["val"][0])


def test_no_validation_images_if_none_are_wanted(drawn, tmp_path):
    every = build(tmp_path, val_size=0)
    every.setup("fit")
    assert every.counts() == {"train": 500, "test": 100}
    with pytest.raises(DataError, match=r"val_size=50000 is not between 0 and 49999"):
        build(tmp_path, val_size=50_000).setup("fit")


@pytest.mark.usefixtures("_offline")
def test_without_a_stand_in_it_stops_with_what_to_do(tmp_path):
    with pytest.raises(
        DataError, match=r"cifar-10-batches-bin does not exist, and no network.* Or set datamodule.data_dir=DIR"
    ):
        build(tmp_path, stand_in=False).prepare_data()
    assert not (tmp_path / "stand-in").exists()


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files in the place of the official ones, whose checksums are taken for theirs."""
    monkeypatch.setattr(stand_in, "RECORDS", 20)
    folder = stand_in.write_cifar10(tmp_path)
    md5s = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.glob("*.bin")}
    monkeypatch.setattr(cifar10, "OFFICIAL_MD5S", md5s)
    return folder


def test_what_is_in_the_folder_is_taken_without_a_download(official, monkeypatch):
    monkeypatch.setattr(official_data, "download", None)
    datamodule = build(official.parent)
    datamodule.prepare_data()
    datamodule.setup("fit")
    assert (datamodule.name, datamodule.source) == ("cifar10", "official")
    assert datamodule.has_test


def test_without_the_test_file_there_is_no_test(official):
    (official / "test_batch.bin").unlink()
    datamodule = build(official.parent)
    datamodule.setup("fit")
    assert datamodule.source == "local"
    assert not datamodule.has_test


def test_another_test_file_makes_it_local(official):
    content = bytearray((official / "test_batch.bin").read_bytes())
    content[7] ^= 1
    (official / "test_batch.bin").write_bytes(content)
    datamodule = build(official.parent)
    datamodule.setup("fit")
    assert datamodule.source == "local"
    assert datamodule.has_test


def test_an_altered_training_file_is_refused_by_name(official):
    with (official / "data_batch_4.bin").open("r+b") as file:
        file.write(b"\x05\x06\x07")
    with pytest.raises(DataError, match=r"data_batch_4\.bin is truncated or altered"):
        build(official.parent).setup("fit")


def test_the_official_archive_is_downloaded_and_extracted(official, tmp_path, monkeypatch):
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(official, "cifar-10-batches-bin")
    asked = []

    def give(*wanted: Any) -> Path:
        asked.append(wanted)
        return archive

    monkeypatch.setattr(official_data, "download", give)
    (tmp_path / "new").mkdir()
    datamodule = build(tmp_path / "new")
    datamodule.prepare_data()
    datamodule.setup("fit")
    assert datamodule.source == "official"
    (((url, dest, sha256, size)),) = asked
    assert (url, size) == ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", 170_052_171)
    assert dest == tmp_path / "new" / "cifar-10-binary.tar.gz"
    assert len(bytes.fromhex(sha256)) == 32
