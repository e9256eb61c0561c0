"""Reads files of comma-, semicolon- or tab-separated values. Nothing here imports torch."""

import csv
import io
from pathlib import Path

from engine.errors import DataError

MAX_BYTES = 1 << 30
LONG_CELL = 1 << 20  # characters


def lines(table: Path) -> list[dict[str, str]]:
    """The rows as dictionaries by column. Raises DataError if the file is missing or not a table."""
    try:
        if table.stat().st_size > MAX_BYTES:
            raise DataError(f"{table} has more than {MAX_BYTES:,} bytes, too many for a table of photos.")
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"datamodule.table: {table} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not in UTF-8: save it as CSV with that encoding.") from error
    first, _, rest = text.partition("\n")
    if first.startswith("sep="):  # as spreadsheets write it
        delimiter, text = first[4:5], rest
    else:
        delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(LONG_CELL)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
        reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
        if twice := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
            raise DataError(f"{table} has two columns {twice[0]}: rename one.")
        return list(reader)
    except csv.Error as error:
        raise DataError(f"{table} cannot be read as a table: {error}.") from error
