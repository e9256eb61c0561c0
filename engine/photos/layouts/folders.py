"""Folders that people made. Nothing here imports torch."""

from pathlib import Path

OF_SYSTEMS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
"""What archives of Macs, network drives and Windows leave: doubles, thumbnails, removed files; no photos to learn."""


def is_seen(name: str) -> bool:
    """Whether a folder's name is neither hidden nor a system's."""
    return not name.startswith(".") and name not in OF_SYSTEMS


def folders_in(folder: Path) -> list[Path]:
    """Those right in it that are seen, by their names; none if it is no folder."""
    return sorted(path for path in folder.glob("*") if is_seen(path.name) and path.is_dir())
