import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.stand_ins import write as stand_in
from datamodules.stand_ins.write import HYMENOPTERA, RECORDS, write_cifar10, write_hymenoptera
from engine.photos.layouts.class_folders import class_files, same_classes


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cifar10(tmp_path_factory.mktemp("stand-in"))


def test_hymenoptera_has_the_real_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "HYMENOPTERA", dict.fromkeys(HYMENOPTERA, 3))
    folder = write_hymenoptera(tmp_path)
    assert folder == tmp_path / "hymenoptera_data"
    train, val = class_files(folder / "train"), class_files(folder / "val")
    same_classes(train, val, "validation")
    assert list(train) == ["ants", "bees"]
    assert [file.name for file in train["ants"]] == ["0000.jpg", "0001.jpg", "0002.jpg"]
    files = [file for classes in (train, val) for files in classes.values() for file in files]
    for file in files:
        with Image.open(file) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
    assert len(set(digests(folder).values())) == 12
    assert digests(write_hymenoptera(tmp_path / "again")) == digests(folder)


def test_hymenoptera_has_as_many_photos_as_the_real_set() -> None:
    counts = {split: sum(n for (part, _), n in HYMENOPTERA.items() if part == split) for split in ("train", "val")}
    assert counts == {"train": 244, "val": 153}


def test_cifar10_has_the_real_format(cifar10: Path) -> None:
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    assert sorted(path.name for path in cifar10.iterdir()) == sorted([*names, "batches.meta.txt"])
    assert cifar10.name == "cifar-10-batches-bin"
    for name in names:
        assert (cifar10 / name).stat().st_size == RECORDS * 3073
        labels = np.fromfile(cifar10 / name, dtype=np.uint8).reshape(-1, 3073)[:, 0]
        assert np.bincount(labels).tolist() == [RECORDS // 10] * 10
        assert len(set(labels[:50].tolist())) == 10, "the classes are not in order"
    text = (cifar10 / "batches.meta.txt").read_text()
    assert text.endswith("\n\n")
    assert len(text.split()) == 10


def test_cifar10_is_the_same_each_time_and_never_repeats_itself(cifar10: Path, tmp_path: Path) -> None:
    assert digests(write_cifar10(tmp_path)) == digests(cifar10)
    records = np.concatenate([np.fromfile(path, dtype=np.uint8) for path in sorted(cifar10.glob("*.bin"))])
    assert len({record.tobytes() for record in records.reshape(-1, 3073)[:, 1:]}) == 6 * RECORDS


def test_what_is_there_is_kept(cifar10: Path) -> None:
    before = (cifar10 / "test_batch.bin").stat().st_mtime_ns
    write_cifar10(cifar10.parent)
    assert (cifar10 / "test_batch.bin").stat().st_mtime_ns == before
