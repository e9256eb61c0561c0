import os
from pathlib import Path

import pytest

from engine.errors import DataError
from engine.photos.layouts.class_folders import class_files, same_classes, selected, spelled_alike


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def names_of(root: Path) -> dict[str, list[str]]:
    return {name: [file.relative_to(root).as_posix() for file in files] for name, files in class_files(root).items()}


def test_images_come_by_class_in_order(tmp_path: Path) -> None:
    put(tmp_path, "bees/2.PNG", "bees/10.jfif", "bees/1.jpeg", "ants/b/1.webp", "ants/a.tiff")
    found = names_of(tmp_path)
    assert list(found) == ["ants", "bees"]
    assert found == {"ants": ["ants/a.tiff", "ants/b/1.webp"], "bees": ["bees/1.jpeg", "bees/10.jfif", "bees/2.PNG"]}


def test_what_is_no_image_of_a_class_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "ants/1.jpg", "ants/imageNotFound.gif", "ants/Thumbs.db", "ants/._1.jpg", "logo.png", ".cache/x.bin")
    assert names_of(tmp_path) == {"ants": ["ants/1.jpg"]}


def test_linked_class_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "far", "1.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "ants").symlink_to(tmp_path / "far", target_is_directory=True)
    assert names_of(tmp_path / "root") == {"ants": ["ants/1.jpg"]}


def test_how_much_is_left_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "ants/1.jpg", "ants/.DS_Store", "ants/._1.jpg", ".git/config")
    with caplog.at_level("INFO"):
        class_files(tmp_path)
        assert not caplog.records
        class_files(put(tmp_path, "ants/1.cr2", "ants/b/2.cr2", "logo.png"))
    assert "not images of a class: 2 .cr2 (develop them to JPEG or PNG), 1 .png." in caplog.text


def test_linked_folder_is_met_once(tmp_path: Path) -> None:
    put(tmp_path, "ants/1.jpg", "bees/1.jpg")
    (tmp_path / "bees" / "up").symlink_to(tmp_path / "bees", target_is_directory=True)
    with pytest.raises(DataError, match=r"bees and .*bees/up are one folder"):
        class_files(tmp_path)
    (tmp_path / "bees" / "up").unlink()
    (tmp_path / "wasps").symlink_to(tmp_path / "ants", target_is_directory=True)
    with pytest.raises(DataError, match=r"ants and .*wasps are one folder"):
        class_files(tmp_path)


def test_link_to_nothing_is_named(tmp_path: Path) -> None:
    put(tmp_path, "ants/1.jpg", "bees/1.jpg")
    (tmp_path / "wasps").symlink_to("/nowhere/wasps")
    with pytest.raises(DataError, match="wasps is a link to nothing"):
        class_files(tmp_path)


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ([], "has no folders"),
        (["1.jpg", ".hidden/readme.txt"], "has no folders"),
        (["ants/1.jpg", "bees/1.gif"], "bees holds no image"),
        (["ants/1.jpg", ".ipynb_checkpoints/1.jpg"], r"\.ipynb_checkpoints is a hidden folder with 1 images"),
        (["ants/1.jpg", "ants/.ipynb_checkpoints/1.jpg"], r"ants/\.ipynb_checkpoints is a hidden folder"),
        (["ants/1.jpg", "ants/2.jpg/readme.txt"], r"2\.jpg is a folder where an image was expected"),
        (["ants/1.jpg", "a\nb/1.jpg"], r"cannot be shown, 'a\\nb'"),
        (["ants/1.jpg", os.fsdecode(b"\xff/1.jpg")], r"cannot be shown, '\\udcff'"),
    ],
)
def test_folder_at_fault_is_named(tmp_path: Path, files: list[str], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        class_files(put(tmp_path, *files))
    assert str(tmp_path) in str(caught.value)


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        class_files(tmp_path / "nowhere")


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"photos.zip is a file: expected a folder .*; unpack an archive\.$"):
        class_files(tmp_path / "photos.zip")


def test_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "ants/1.jpg", "bees/1.jpg")
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "bees":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"bees cannot be read \(Permission denied\)"):
        class_files(tmp_path)


def test_different_classes_are_named(tmp_path: Path) -> None:
    train = class_files(put(tmp_path / "train", "ants/1.jpg", "bees/1.jpg"))
    val = class_files(put(tmp_path / "val", "ants/1.jpg", "wasps/1.jpg"))
    same_classes(train, train, "validation")
    with pytest.raises(
        DataError, match=r"'bees' only in training .*train/bees.*'wasps' only in validation .*val/wasps"
    ):
        same_classes(train, val, "validation")


def test_nothing_selects_all(tmp_path: Path) -> None:
    classes = class_files(put(tmp_path, "ants/1.jpg", "bees/1.jpg"))
    assert selected(classes, None, tmp_path) is classes


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        (["ants", "bees"], ["ants", "bees", "wasps"], r"add or remove them, or say datamodule.classes=\[ants,bees\]"),
        (["ants", "bees"], ["ants", "wasps"], r"add or remove them\.$"),
        (["ants", "Bees"], ["Ants", "bees "], r"spell each the same in both, including capitals\.$"),
    ],
)
def test_what_to_do_about_different_classes(train: list[str], val: list[str], says: str) -> None:
    one, two = ({name: [Path(f"{name}/1.jpg")] for name in names} for names in (train, val))
    with pytest.raises(DataError, match=says):
        same_classes(one, two, "validation")


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["ants", "bees", "ant", "蜜蜂", "蜂"], []),
        (["1", "10", "-", "--"], []),
        (["Ants", "ants", "bees"], [("Ants", "ants")]),
        (["fire ant", "fire-ant", "fire_ant"], [("fire ant", "fire-ant"), ("fire ant", "fire_ant")]),
        (["STRASSE", "straße", "ﬁg", "fig"], [("STRASSE", "straße"), ("ﬁg", "fig")]),
    ],
)
def test_names_that_differ_in_spelling_alone(names: list[str], pairs: list[tuple[str, str]]) -> None:
    told = [f"classes {one!r} and {other!r} differ only in spelling: if they are" for one, other in pairs]
    assert [advice.rpartition(" one,")[0] for advice in spelled_alike(names)] == told
