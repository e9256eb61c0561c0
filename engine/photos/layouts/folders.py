"""Lists folders, except those of operating systems. Nothing here imports torch."""

from pathlib import Path

OF_SYSTEMS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
"""Folders that macOS archives, network drives and Windows leave behind: duplicates, thumbnails, deleted files."""


def is_seen(name: str) -> bool:
    """Whether a folder is neither hidden nor an operating system's."""
    return not name.startswith(".") and name not in OF_SYSTEMS


def folders_in(folder: Path) -> list[Path]:
    """The visible folders directly in a folder, sorted by name; none if the folder does not exist."""
    return sorted(path for path in folder.glob("*") if is_seen(path.name) and path.is_dir())
