"""The photos in a table by split and class, given by its rows or drawn."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.errors import DataError
from engine.photos.formats import SUFFIXES
from engine.photos.layouts.class_folders import Classes, selected
from engine.photos.layouts.selection import Selection, composed
from engine.photos.layouts.split_folders import split_named
from engine.photos.layouts.splits import drawn
from engine.photos.layouts.table import lines
from engine.wording import nearest

logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """`split` is train, val or test; a `group` must not be divided among splits. Each is None if unknown."""

    file: Path
    label: str
    split: str | None
    group: str | None


def read_table(
    table: Path, data_dir: Path | None, *, path: str, label: str, split: str | None, group: str | None
) -> list[Row]:
    """The rows of a file of comma-, semicolon- or tab-separated values whose first line names the columns.

    `path`, `label`, `split` and `group` are names of columns; the last two are used if the table has them. Relative
    paths start in `data_dir`, or in the table's folder. Rows without a label are skipped.

    Raises:
        DataError: the table cannot be read or lacks a column or rows, a row's file is missing, or its split unknown.
    """
    rows = lines(table)
    names = list(rows[0]) if rows else []
    for key, column in (("path_column", path), ("label_column", label)):
        if column not in names:
            known = nearest(column, names)
            raise DataError(
                f"{table} has no column {column} in its first line: give datamodule.{key}=…; "
                f"{known}{'' if known.endswith('?') else '.'}"
            )
    found, unlabelled = [], 0
    for number, row in enumerate(rows, start=2):
        if not (row[label] or "").strip():
            unlabelled += 1
            continue
        file = _file(Path(data_dir or table.parent), (row[path] or "").strip(), f"{table}, line {number}")
        part = (row.get(split or "") or "").strip()
        if part and split_named(part) is None:
            raise DataError(f"{table}, line {number}: {split}={part} is no split: call it train, val or test.")
        found.append(Row(file, composed(row[label].strip()), split_named(part), (row.get(group or "") or None)))
    if not found:
        raise DataError(f"{table} has no row with a label in {label}.")
    if unlabelled:
        logger.info("Left out of %s: %s rows without a label in %s.", table, f"{unlabelled:,}", label)
    return found


def _file(root: Path, name: str, place: str) -> Path:
    """The file that a table names, possibly as a Windows path. Raises DataError if it does not exist."""
    spellings = [Path(root, name), Path(root, name.replace("\\", "/"))]
    for file in spellings:
        if name and file.is_file():
            return file
    with_suffix = (file.with_name(file.name + suffix) for file in spellings for suffix in SUFFIXES if file.name)
    there = next((file for file in with_suffix if file.is_file()), None)
    advice = (
        f"{there.name} is there: write the suffixes into the table"
        if there
        else "give datamodule.data_dir=… if they moved"
    )
    raise DataError(f"{place}: there is no file {spellings[0]}; {advice}.")


def table_splits(
    rows: Sequence[Row], table: Path, *, val_fraction: float, test_fraction: float, seed: int, classes: Selection | None
) -> dict[str, Classes]:
    """The files of each class for `train`, `val` and, if there is one, `test`.

    A split that no row has is drawn from the training rows by its fraction: the same fraction of each class, or about
    that if rows have groups, none of which is divided.

    Raises:
        DataError: only some rows have a split, splits have different classes, or a class is too small to be split.
    """
    known = [row for row in rows if row.split]
    if known and len(known) < len(rows):
        raise DataError(f"{table} names a split in {len(known):,} of {len(rows):,} rows: name it in all or in none.")
    groups = {row.file: row.group for row in rows if row.group is not None}
    names = sorted({row.label for row in rows})
    if len(names) == 1:
        raise DataError(f"{table} has one class alone, {names[0]}, which leaves nothing to learn: add rows of others.")
    found: dict[str, Classes] = {}
    for split in ("train", "val", "test"):
        of_split = [row for row in rows if (row.split or "train") == split]
        if of_split:
            files = {name: sorted(row.file for row in of_split if row.label == name) for name in names}
            found[split] = selected(files, classes, table)
    if "train" not in found:
        raise DataError(f"{table} has no row for training: call a split train.")
    for split, part in found.items():
        if empty := [name for name, files in part.items() if not files]:
            raise DataError(f"{table} has no row of {empty[0]} for {split}: add some, or leave it out of all splits.")
    if "test" not in found and test_fraction:
        found["train"], found["test"] = _divided(found["train"], groups, "test", test_fraction, seed)
        val_fraction = val_fraction / (1 - test_fraction)
    if "val" not in found:
        found["train"], found["val"] = _divided(found["train"], groups, "val", val_fraction, seed)
    return found


def _divided(
    classes: Classes, groups: Mapping[Path, str | None], split: str, fraction: float, seed: int
) -> tuple[Classes, Classes]:
    if not groups:
        return drawn(classes, split, fraction, seed)
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import

    pairs = [(name, file) for name, files in classes.items() for file in files]
    keys = [groups.get(file) or str(file) for _, file in pairs]
    parts = max(2, round(1 / fraction))
    if len(set(keys)) < parts:
        raise DataError(f"{len(set(keys))} groups are too few for datamodule.{split}_fraction={fraction:g}.")
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    divided: tuple[Classes, ...] = ()
    for indices in next(iter(folds.split(keys, [name for name, _ in pairs], keys))):
        part: Classes = {name: [] for name in classes}
        for index in indices:
            part[pairs[index][0]].append(pairs[index][1])
        divided = (*divided, part)
    for part, where in zip(divided, ("training", split), strict=True):
        if empty := [name for name, files in part.items() if not files]:
            raise DataError(
                f"The groups leave no photo of {empty[0]} for {where}: try another seed or {split}_fraction."
            )
    return divided[0], divided[1]
