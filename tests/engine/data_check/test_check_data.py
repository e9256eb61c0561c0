"""`python check_data.py` as a user runs it."""

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import run_script


@pytest.fixture
def photos(data_dir: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(data_dir / "hymenoptera_data", tmp_path / "insects"))
    for name in ("copy.jpg", "one more copy.jpg"):
        shutil.copy(root / "train/ants/0001.jpg", root / "val/ants" / name)
    shutil.copy(root / "train/bees/0002.jpg", root / "train/ants/wrong.jpg")
    with Image.open(root / "train/bees/0003.jpg") as image:
        image.resize((image.width // 2, image.height // 2)).save(root / "val/bees/small [x].jpg")
    cut = root / "train/bees/cut.jpg"
    cut.write_bytes((root / "train/bees/0004.jpg").read_bytes()[:900])
    return root


def test_what_is_planted_is_found(photos: Path, tmp_path: Path) -> None:
    done = run_script("check_data.py", "data_dir=insects", "output=found", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "found" / "findings.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["finding"], Path(row["path"]).name, Path(row["other"]).name) for row in rows}
    assert {
        ("identical in two splits", "copy.jpg", "0001.jpg"),
        ("identical in two splits", "one more copy.jpg", "0001.jpg"),
        ("look-alikes in two splits", "small [x].jpg", "0003.jpg"),
        ("no photo by its name", "imageNotFound.gif", ""),
        ("cannot be read", "cut.jpg", ""),
    } <= found
    (twice,) = (row for row in rows if row["finding"] == "identical with two labels")
    assert {Path(twice[key]).name for key in ("path", "other")} == {"0002.jpg", "wrong.jpg"}
    assert sum("identical" in row["finding"] or "look-alikes" in row["finding"] for row in rows) == 4
    pair = "val/bees/small [x].jpg = train/bees/0003.jpg"
    for text in ("│ all   │", pair, "Twice the photos", "(RGB); shorter side"):
        assert text in done.stdout
    assert (tmp_path / "found" / "findings.png").is_file()
    again = run_script("check_data.py", "data_dir=insects", "output=found", cwd=tmp_path)
    assert again.stdout == done.stdout, "from the cached features"


def test_a_table_whose_paths_start_elsewhere(photos: Path, tmp_path: Path) -> None:
    rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in sorted(photos.glob("val/*/000*.jpg"))]
    rows[:2] = [row.replace(",ants", ",Ants") for row in rows[:2]]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    done = run_script("check_data.py", "table=labels.csv", f"data_dir={photos}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(rows)} JPEG (RGB)" in done.stdout
    assert "\nclasses 'Ants' and 'ants' differ only in spelling" in done.stdout


def test_too_few_photos_for_labels(photos: Path, tmp_path: Path) -> None:
    for file in [*photos.glob("*/*/000[2-9].jpg"), *photos.glob("*/ants/[cw]*.jpg"), *photos.glob("*/bees/[cs]*.jpg")]:
        file.unlink()
    done = run_script("check_data.py", f"data_dir={photos}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Labels were not checked: each class needs 5 photos" in done.stdout
    assert (tmp_path / "data_check" / "insects" / "findings.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Give data_dir=…, a folder of class folders, or table=…"),
        (("data_dir=none",), "none is no folder: expected one with a folder of images for each class."),
        (("data_dir=.", "ouput=x"), "ouput=x: check_data.py has no setting ouput; did you mean output?"),
        (("table=none.csv",), "none.csv cannot be read (No such file"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = run_script("check_data.py", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help(tmp_path: Path) -> None:
    done = run_script("check_data.py", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "python check_data.py data_dir=FOLDER" in done.stdout
