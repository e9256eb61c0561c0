"""`python predict.py` as a user runs it, in a process of its own."""

import json
import shutil
from pathlib import Path

from PIL import Image

from tests.conftest import run_script


def test_photos_good_and_bad_by_a_moved_run(run_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    photos = tmp_path / "my photos, (2)"
    shutil.copytree(data_dir / "hymenoptera_data" / "val", photos)
    (photos / "ants" / "0001.jpg").write_bytes((photos / "ants" / "0002.jpg").read_bytes()[:2000])
    (photos / "bees" / "empty.png").touch()
    (photos / "bees" / "notes.txt").write_text("no photo")
    (photos / "bees" / "._0001.jpg").write_bytes(b"hidden")
    arguments = ("output=seen.jsonl", "contact_sheet=sheet.png", "batch_size=4", "num_workers=2")
    shutil.copytree(run_dir, tmp_path / "moved")
    done = run_script("predict.py", "run=moved", f"input={photos}", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cut, empty, count, others = done.stderr.splitlines()
    assert f"{photos}/ants/0001.jpg" in cut
    assert f"{photos}/bees/empty.png is empty" in empty
    assert count == "2 of 13 photos could not be read."
    assert others == "Ignored files that are not photos: 1 .txt."
    rows = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    assert [row["truth"] for row in rows] == [Path(row["path"]).parent.name for row in rows]
    right = sum(row["truth"] == row["class"] for row in rows)
    assert done.stdout.splitlines() == [
        "11 predicted: seen.jsonl",
        f"accuracy {right / 11:.4f}: {right} of 11 are in the folder of their class",
        "contact sheet: sheet.png",
    ]
    assert [Path(row["path"]).name for row in rows[:5]] == [f"{n:04d}.jpg" for n in (0, 2, 3, 4, 5)]
    assert set(rows[0]["probabilities"]) == {"ants", "bees"}
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 4 * 160
    assert {path.name for path in tmp_path.iterdir()} == {photos.name, "moved", "seen.jsonl", "sheet.png"}


def test_one_photo_is_told_on_the_terminal(run_dir: Path, data_dir: Path, tmp_path: Path) -> None:
    photo = data_dir / "hymenoptera_data" / "val" / "bees" / "0001.jpg"
    done = run_script("predict.py", f"run={run_dir}", f"input={photo}", "output=seen.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "seen.jsonl").read_text())
    probability = row["probabilities"][row["class"]]
    assert done.stdout.splitlines()[0] == f"0001.jpg: {row['class']}, probability {probability:.1%}"


def test_mistakes_are_one_sentence(run_dir: Path, tmp_path: Path) -> None:
    for arguments, sentence in (
        ((f"run={run_dir}", f"input={tmp_path}/none.jpg"), "there is no such photo or folder"),
        ((f"run={run_dir}",), "Give input=…, a photo, a folder of photos or a glob."),
    ):
        done = run_script("predict.py", *arguments, cwd=tmp_path)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert sentence in line
