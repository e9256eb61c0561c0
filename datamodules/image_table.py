"""Photos listed in a table of paths and labels."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.image_folder import ImageFolder
from engine.errors import DataError
from engine.photos.layouts.class_folders import Classes, selected
from engine.photos.layouts.splits import present
from engine.photos.layouts.table_splits import Row, read_table, table_splits


class ImageTable(ImageFolder):
    """The photos listed in `table`, a .csv or .tsv file with a column of paths and one of classes.

    A column of splits assigns photos to train, val and test; without it, val and test are drawn by fraction. Photos of
    one group, such as one patient or one burst, are never divided among splits.

    Batches are those of ImageFolder. Raises DataError for tables and files that cannot be used.
    """

    def __init__(
        self,
        *,
        table: str,
        data_dir: str | None,
        path_column: str,
        label_column: str,
        split_column: str | None,
        group_column: str | None,
        **image_folder: Any,
    ) -> None:
        super().__init__(data_dir=data_dir or str(Path(table).parent), **image_folder)
        self.table = Path(table)
        self.name = self.table.stem
        self.columns = {"path": path_column, "label": label_column, "split": split_column, "group": group_column}

    def _rows(self) -> list[Row]:
        rows = read_table(self.table, self.root, **self.columns)  # type: ignore[arg-type]
        self.root = Path(os.path.commonpath([row.file.absolute().parent for row in rows]))  # root of the digest's paths
        return [row._replace(file=row.file.absolute()) for row in rows]

    def find(self) -> dict[str, Classes]:
        rows = self._rows()
        if self.num_folds is not None and any(row.group for row in rows):
            raise DataError(
                f"datamodule.num_folds would divide the groups of {self.table}: give datamodule.group_column=null if "
                "its photos are independent."
            )
        return table_splits(
            rows,
            self.table,
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            seed=self.seed_split,
            classes=self.wanted,
        )

    def _find_alone(self, split: str, classes: Sequence[str]) -> tuple[str, Classes]:
        rows = self._rows()
        part = split if any(row.split for row in rows) else "all"
        files: Classes = {}
        for row in rows:
            if part == "all" or row.split == split:
                files.setdefault(row.label, []).append(row.file)
        if not files:
            raise DataError(f"split={split}: {self.table} has no such row.")
        if self.wanted is not None and not files.keys() <= set(classes):
            files = selected(files, present(self.wanted, files), self.table)
        return part, files
