from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.config.resolvers import count_labels
from engine.errors import DataError
from engine.photos.layouts.class_folders import Classes
from engine.photos.layouts.table_splits import Row, read_table, table_splits

COLUMNS: dict[str, Any] = {"path": "path", "label": "label", "split": "split", "group": "group"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(20):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(b"")
    return tmp_path


def table(root: Path, header: str, lines: Sequence[str], *, encoding: str = "utf-8", name: str = "table.csv") -> Path:
    path = root / name
    path.write_bytes("\n".join([header, *lines, ""]).encode(encoding))
    return path


def rows_of(path: Path, **columns: Any) -> list[Row]:
    return read_table(path, None, **COLUMNS | columns)


def splits(path: Path, **settings: Any) -> dict[str, Classes]:
    settings = {"val_fraction": 0.25, "test_fraction": 0, "seed": 0, "classes": None, **settings}
    return table_splits(rows_of(path), path, **settings)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_rows(delimiter: str, encoding: str, photos: Path) -> None:
    lines = [
        delimiter.join(("photos/1.jpg", "gue\u0302pe", "Valid")),
        delimiter.join((f"{photos}/photos/2.jpg", "ant", "train")),
    ]
    path = table(photos, delimiter.join(("path", "label", "split")), lines, encoding=encoding)
    assert rows_of(path) == [
        Row(photos / "photos/1.jpg", "gu\u00eape", "val", None),
        Row(photos / "photos/2.jpg", "ant", "train", None),
    ]
    assert count_labels(str(path), "label") == 2
    assert count_labels(str(path), "label", ["a", "b", "c"]) == 3
    assert count_labels(str(photos / "none.csv"), "label") == 0


def test_columns_of_other_names_and_rows_without_a_label(photos: Path) -> None:
    path = table(photos, "id,file,kind", ["1,1.jpg,a", "2,2.jpg,", "3,3.jpg,b"])
    found = read_table(path, photos / "photos", **COLUMNS | {"path": "file", "label": "kind"})
    assert [(row.file.name, row.label) for row in found] == [("1.jpg", "a"), ("3.jpg", "b")]


@pytest.mark.parametrize(
    ("header", "line", "says"),
    [
        (
            "filename,label",
            "photos/1.jpg,a",
            "has no column path in its first line: give datamodule.path_column=…; there are filename, label",
        ),
        (
            "path,labels",
            "photos/1.jpg,a",
            r"label in its .*: give datamodule.label_column=…; did you mean labels\?$",
        ),
        ("path,label", "photos/none.jpg,a", "line 2: there is no file .*none.jpg; give datamodule.data_dir="),
        ("path,label,split", "photos/1.jpg,a,3", "line 2: split=3 is no split: call it train, val or test"),
        ("path,label", "photos/1.jpg,", "has no row with a label"),
    ],
)
def test_a_mistake_is_named(header: str, line: str, says: str, photos: Path) -> None:
    with pytest.raises(DataError, match=says):
        rows_of(table(photos, header, [line]))


def test_what_is_no_table(photos: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be read \(No such file"):
        rows_of(photos / "none.csv")
    with pytest.raises(DataError, match="is not in UTF-8: save it"):
        rows_of(table(photos, "path,label", ["é,a"], encoding="latin-1"))


def numbered(*, groups: int | None = None) -> list[str]:
    return [
        f"photos/{number}.jpg,{'ab'[number % 2]}" + (f",g{number // 2 % groups}" if groups else "")
        for number in range(20)
    ]


def test_splits_are_drawn(photos: Path) -> None:
    drawn = splits(table(photos, "path,label", numbered()), test_fraction=0.2)
    sizes = {split: [len(files) for files in classes.values()] for split, classes in drawn.items()}
    assert sizes == {"train": [6, 6], "val": [2, 2], "test": [2, 2]}
    assert len({file for classes in drawn.values() for files in classes.values() for file in files}) == 20


def test_splits_of_the_table(photos: Path) -> None:
    lines = [f"{line},{('train', 'dev', 'test')[number % 3]}" for number, line in enumerate(numbered())]
    found = splits(table(photos, "path,label,split", lines))
    assert {split: sum(map(len, classes.values())) for split, classes in found.items()} == {
        "train": 7,
        "val": 7,
        "test": 6,
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_divided(seed: int, photos: Path) -> None:
    path = table(photos, "path,label,group", numbered(groups=7))
    groups = {row.file: row.group for row in rows_of(path)}
    found = splits(path, seed=seed, test_fraction=0.2)
    of_split = [{groups[file] for files in classes.values() for file in files} for classes in found.values()]
    assert len(of_split) == 3
    assert sum(map(len, of_split)) == len(set.union(*of_split)) == 7
    assert found == splits(path, seed=seed, test_fraction=0.2)


@pytest.mark.parametrize(
    ("header", "lines", "says"),
    [
        ("path,label,split", ["photos/1.jpg,a,train", "photos/2.jpg,b,"], "a split in 1 of 2 rows: name it in all"),
        ("path,label,split", ["photos/1.jpg,a,val", "photos/2.jpg,b,val"], "no row for training"),
        (
            "path,label,split",
            ["photos/1.jpg,a,train", "photos/2.jpg,b,train", "photos/3.jpg,a,val"],
            "no row of b for val",
        ),
        ("path,label,group", [f"{line},x" for line in numbered()], "1 groups are too few for datamodule.val_fraction"),
    ],
)
def test_what_cannot_be_split(header: str, lines: list[str], says: str, photos: Path) -> None:
    with pytest.raises(DataError, match=says):
        splits(table(photos, header, lines))


def test_classes_are_selected_and_merged(photos: Path) -> None:
    lines = [f"photos/{number}.jpg,{'abc'[number % 3]}" for number in range(18)]
    found = splits(table(photos, "path,label", lines), classes={"ab": ["a", "b"], "c": ["c"]})
    assert [len(found["train"][name]) + len(found["val"][name]) for name in ("ab", "c")] == [12, 6]


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ("path,label", ["photos\\1.jpg,a", "photos\\2.jpg,b"]),
        ("path , label", ["photos/1.jpg, a", "photos/2.jpg , b"]),
        ("sep=;\npath;label", ["photos/1.jpg;a", "photos/2.jpg;b"]),
        ("path,label\r", ["photos/1.jpg,a\r", "\r", "photos/2.jpg,b\r"]),
    ],
)
def test_tables_as_windows_writes_them(header: str, lines: list[str], photos: Path) -> None:
    found = rows_of(table(photos, header, lines))
    assert [(row.file, row.label) for row in found] == [(photos / "photos/1.jpg", "a"), (photos / "photos/2.jpg", "b")]


def test_a_label_of_two_lines_stays_one(photos: Path) -> None:
    found = rows_of(table(photos, "path,label", ['photos/1.jpg,"a\nb"', "photos/2.jpg,b"]))
    assert [row.label for row in found] == ["a\nb", "b"]


def test_rows_without_a_label_are_counted(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = table(photos, "path,label", ["photos/1.jpg,a", "photos/2.jpg,", "photos/3.jpg, "])
    with caplog.at_level("INFO"):
        assert len(rows_of(path)) == 1
    assert f"Left out of {path}: 2 rows without a label in label." in caplog.text


@pytest.mark.parametrize(
    ("header", "lines", "says"),
    [
        ("path,label,label", ["photos/1.jpg,a,b"], "has two columns label: rename one"),
        ("path,label", ["photos/1,a"], "line 2: there is no file .*photos/1; 1.jpg is there: write the suffixes into"),
        ("photos/1.jpg,a", ["photos/2.jpg,b"], "has no column path in its first line"),
        ("path,label", ["photos/1.jpg,a", "photos/2.jpg,a"], "has one class alone, a, which leaves nothing to learn"),
    ],
)
def test_what_is_wrong_with_a_table(header: str, lines: list[str], says: str, photos: Path) -> None:
    with pytest.raises(DataError, match=says):
        splits(table(photos, header, lines))
