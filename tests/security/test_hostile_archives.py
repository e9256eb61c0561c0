"""Crooked archives: nothing is written outside the folder, and what is rejected leaves nothing behind.

In use, an archive is extracted only if its SHA-256 is the expected one, so none of these could get that far.
"""

import io
import stat
import tarfile
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from engine.downloads.archive import extract
from engine.errors import DataError


def entry(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, pax
    return info


def tar(*entries: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode, format=tarfile.PAX_FORMAT) as file:  # type: ignore[call-overload]
        for info, data in entries:
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    archive = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        warnings.simplefilter("ignore")  # two of one name
        for name, data in entries:
            file.writestr(name, data)
    return archive.getvalue()


def typed(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def renamed(content: bytes, old: bytes, new: bytes) -> bytes:
    """The name in a zip's local header alone: its table of contents still has the old one."""
    return content.replace(old, new, 1)


GOOD = (entry("set/good"), b"good")

TARS: dict[str, bytes] = {
    "a path above": tar((entry("set/../../evil"), b"x")),
    "a path above in an extended header": tar((entry("set/x", path="../evil"), b"x")),
    "an absolute path in an extended header": tar((entry("set/x", path="/tmp/evil"), b"x")),
    "a path above beside the folder": tar(GOOD, (entry("other/../../evil"), b"x")),
    "a long path above": tar((entry("set/" + "a/" * 200 + "../" * 210 + "evil"), b"x")),
    "a link to a folder and a file through it": tar(
        (entry("set/out", kind=tarfile.SYMTYPE, link=".."), b""), (entry("set/out/evil"), b"x")
    ),
    "a link beside the folder": tar(GOOD, (entry("other", kind=tarfile.SYMTYPE, link="/"), b"")),
    "a hard link above": tar(GOOD, (entry("set/evil", kind=tarfile.LNKTYPE, link="../../secret"), b"")),
    "a hard link in an extended header": tar(GOOD, (entry("set/e", kind=tarfile.LNKTYPE, linkpath="/secret"), b"")),
    "a device": tar((entry("set/disk", kind=tarfile.BLKTYPE), b"")),
    "a pipe": tar((entry("set/pipe", kind=tarfile.FIFOTYPE), b"")),
    "a kind that nobody knows": tar((entry("set/x", kind=b"Z"), b"x"), GOOD),
    "the same name twice": tar(GOOD, GOOD),
    "a file that is a folder too": tar(GOOD, (entry("set/good/evil"), b"x")),
    "a name with an end in it": tar((entry("set/x", path="set/a\0/../../b"), b"x")),
    "nothing": b"",
    "no archive": b"#!/bin/sh\ntouch evil\n",
}

ZIPS: dict[str, bytes] = {
    "a path above": zipped(("set/../../evil", b"x")),
    "a path above beside the folder": zipped(("set/good", b""), ("../evil", b"x")),
    "a path of another system": zipped(("set\\..\\..\\evil", b"x")),
    "a disk of another system": zipped(("C:evil", b"x")),
    "a link": zipped((typed("set/out", stat.S_IFLNK | 0o777), b"..")),
    "a device": zipped((typed("set/disk", stat.S_IFBLK | 0o777), b"")),
    "a socket": zipped((typed("set/socket", stat.S_IFSOCK | 0o777), b"")),
    "the same name twice": zipped(("set/good", b"1"), ("set/good", b"2")),
    "two names for one file": renamed(zipped(("set/good", b"x")), b"set/good", b"set/evil"),
    "no archive": b"#!/bin/sh\ntouch evil\n",
}


@pytest.mark.parametrize("content", [*TARS.values(), *ZIPS.values()], ids=[*TARS, *(f"zip: {name}" for name in ZIPS)])
def test_nothing_leaves_the_folder(content: bytes, tmp_path: Path) -> None:
    archive, dest = tmp_path / "archive", tmp_path / "inner" / "dest"
    archive.write_bytes(content)
    with suppress(DataError):
        extract(archive, dest, "set")
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(dest / "set")]
    assert {path.relative_to(tmp_path).as_posix() for path in outside} <= {
        *("archive", "inner", "inner/dest", "inner/dest/.set.lock")
    }
    for path in (dest / "set").rglob("*"):
        assert path.resolve().is_relative_to(dest / "set")
        assert path.is_file() or path.is_dir()


def test_set_user_id_bits_are_dropped(tmp_path: Path) -> None:
    info = entry("set/tool")
    info.mode, info.uid = 0o6777, 0
    (tmp_path / "a.tar").write_bytes(tar((info, b"x")))
    (tmp_path / "a.zip").write_bytes(zipped((typed("set/tool", stat.S_IFREG | 0o6777), b"x")))
    for name in ("a.tar", "a.zip"):
        tool = extract(tmp_path / name, tmp_path / name.replace(".", "_"), "set") / "tool"
        assert not tool.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
