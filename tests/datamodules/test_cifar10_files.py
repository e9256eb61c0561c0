import hashlib
import os

import numpy as np
import pytest
import torch

from datamodules.cifar10_files import OFFICIAL_CLASSES, TEST_FILE, TRAIN_FILES, read_cifar10
from engine.errors import DataError

RECORDS = 4


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in (*TRAIN_FILES, TEST_FILE):
        records = rng.integers(0, 256, (RECORDS, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        records.tofile(tmp_path / name)
    return tmp_path


@pytest.fixture
def md5s(folder):
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in (*TRAIN_FILES, TEST_FILE)}


def test_pixels_and_labels_are_those_of_the_records(folder, md5s):
    data = read_cifar10(folder, md5s=md5s)
    images, labels = data.train
    assert (images.shape, images.dtype) == ((5 * RECORDS, 3, 32, 32), torch.uint8)
    for index in (0, 7, 19):
        record = (folder / TRAIN_FILES[index // RECORDS]).read_bytes()[index % RECORDS * 3073 :][:3073]
        assert labels[index] == record[0]
        for channel, row, column in ((0, 0, 0), (1, 3, 31), (2, 31, 5)):
            assert images[index, channel, row, column] == record[1 + 1024 * channel + 32 * row + column]
    assert data.test is not None
    assert data.test[0].shape == (RECORDS, 3, 32, 32)
    assert data.source == "official"
    assert data.classes == OFFICIAL_CLASSES


def test_a_missing_or_other_test_batch_makes_it_local(folder, md5s):
    content = bytearray((folder / TEST_FILE).read_bytes())
    content[5] ^= 1
    (folder / TEST_FILE).write_bytes(content)
    data = read_cifar10(folder, md5s=md5s)
    assert data.source == "local"
    assert data.test is not None
    (folder / TEST_FILE).unlink()
    data = read_cifar10(folder, md5s=md5s)
    assert (data.source, data.test) == ("local", None)


@pytest.mark.parametrize("harm", ["cut", "cut by a record", "altered"])
def test_a_harmed_training_file_is_refused_by_name(folder, md5s, harm):
    path = folder / "data_batch_3.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= harm == "altered"
    path.write_bytes(content[: {"cut": -1, "cut by a record": -3073, "altered": None}[harm]])
    with pytest.raises(DataError, match=r"data_batch_3\.bin is truncated or altered"):
        read_cifar10(folder, md5s=md5s)


def test_a_missing_training_file_is_refused_by_name(folder, md5s):
    (folder / "data_batch_5.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_5\.bin cannot be read \(No such file.*\): put the file there"):
        read_cifar10(folder, md5s=md5s)


@pytest.mark.parametrize(("content", "message"), [(b"x" * 10, "not a multiple of"), (b"\x0a" * 3073, "a label 10")])
def test_a_test_batch_that_is_none_is_refused_by_name(folder, md5s, content, message):
    (folder / TEST_FILE).write_bytes(content)
    with pytest.raises(DataError, match=rf"test_batch\.bin .*{message}"):
        read_cifar10(folder, md5s=md5s)


@pytest.mark.parametrize("name", ["data_batch_2.bin", TEST_FILE, "batches.meta.txt"])
@pytest.mark.parametrize("instead", ["folder", "pipe", "link to nothing"])
def test_what_is_no_file_is_refused_by_name(folder, md5s, name, instead):
    (folder / name).unlink(missing_ok=True)
    if instead == "folder":
        (folder / name).mkdir()
    elif instead == "pipe":
        os.mkfifo(folder / name)  # reading it would wait for ever
    else:
        (folder / name).symlink_to("nowhere")
    match = "cannot be read" if instead == "link to nothing" else "is a folder, pipe or device"
    with pytest.raises(DataError, match=f"{name.replace('.', '[.]')} {match}"):
        read_cifar10(folder, md5s=md5s)


def test_a_label_of_a_stand_in_above_9_is_refused(folder):
    content = bytearray((folder / "data_batch_4.bin").read_bytes())
    content[3073] = 10
    (folder / "data_batch_4.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_4\.bin .*a label 10, above 9"):
        read_cifar10(folder, md5s=None)


def test_class_names_that_are_no_text_are_refused(folder):
    (folder / "batches.meta.txt").write_bytes(b"\xff\xfe\x00 \xff")
    with pytest.raises(DataError, match=r"batches\.meta\.txt names 2 classes"):
        read_cifar10(folder, md5s=None)


def test_a_stand_in_is_read_as_it_is_with_its_own_classes(folder):
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    data = read_cifar10(folder, md5s=None)
    assert (data.source, data.classes) == ("stand-in", tuple("abcdefghij"))


def test_only_the_official_files_pass_as_such(folder):
    with pytest.raises(DataError, match=r"data_batch_1\.bin is truncated or altered"):
        read_cifar10(folder)


def test_a_wrong_number_of_classes_is_refused(folder):
    (folder / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"batches\.meta\.txt names 2 classes"):
        read_cifar10(folder, md5s=None)
