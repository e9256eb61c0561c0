"""Archives of strangers: each is refused in a sentence that names it, nothing is left of it, and nothing is outside.

The ordinary cases are in tests/engine/downloads/test_archive.py; these are the crooked ones.
"""

import io
import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.downloads import archive as module
from engine.downloads.archive import extract_tar, extract_zip
from engine.errors import DataError

LIMIT = 1_000_000
"""What an archive may unpack to in these tests."""


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


def sparse(size: int) -> bytes:
    """A tar whose one file says that it is `size` bytes, nearly all of them holes."""
    header = bytearray(entry("set/holes", kind=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % 0, b"%011o\0" % 0  # one piece, of no bytes
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header[:512]) + bytes(1024)


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
    "holes": sparse(1 << 40),
    "zeros": tar((entry("set/zeros"), bytes(4 * LIMIT)), mode="w:xz"),
    "zeros in many files": tar(*((entry(f"set/{i}"), bytes(LIMIT // 2)) for i in range(4)), mode="w:bz2"),
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
    "zeros": zipped(("set/zeros", bytes(4 * LIMIT))),
    "no archive": b"#!/bin/sh\ntouch evil\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the archive lies; it is to be extracted two folders further down."""
    monkeypatch.setattr(module, "MAX_BYTES", LIMIT)
    monkeypatch.setattr(module, "BLOCK", 1 << 16)
    return tmp_path


def assert_refused(extract: Callable[[Path, Path, str], Path], content: bytes, place: Path) -> None:
    archive, dest = place / "archive", place / "inner" / "dest"
    archive.write_bytes(content)
    with pytest.raises(DataError) as caught:
        extract(archive, dest, "set")
    (sentence,) = str(caught.value).splitlines()
    assert str(archive) in sentence
    found = {path.relative_to(place).as_posix() for path in place.rglob("*")}
    assert found - {"inner", "inner/dest", "inner/dest/.set.lock"} == {"archive"}


@pytest.mark.parametrize("name", TARS)
def test_hostile_tars(name: str, place: Path) -> None:
    assert_refused(extract_tar, TARS[name], place)


@pytest.mark.parametrize("name", ZIPS)
def test_hostile_zips(name: str, place: Path) -> None:
    assert_refused(extract_zip, ZIPS[name], place)


def test_rights_are_not_taken_over(place: Path) -> None:
    """Nobody's program, nor one that runs as somebody else."""
    info = entry("set/tool")
    info.mode, info.uid = 0o6777, 0
    (place / "a.tar").write_bytes(tar((info, b"x")))
    (place / "a.zip").write_bytes(zipped((typed("set/tool", stat.S_IFREG | 0o6777), b"x")))
    mask = os.umask(0)
    os.umask(mask)
    for extract, name in ((extract_tar, "a.tar"), (extract_zip, "a.zip")):
        tool = extract(place / name, place / name.replace(".", "_"), "set") / "tool"
        assert stat.S_IMODE(tool.stat().st_mode) == 0o666 & ~mask
