"""Downloads one file: resumable, locked against other processes, and verified by size and SHA-256."""

import hashlib
import logging
import queue
import threading
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from filelock import FileLock

from engine.errors import DataError
from engine.process.activity import activity

log = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds to wait for the server's answer, and for each further read."""

TRIES = 2
"""Attempts in total; the second resumes after a broken connection."""

BLOCK = 1 << 20
"""Bytes per read."""


class DownloadError(DataError):
    """The network or the server failed; nothing is known to be wrong with the data itself."""


def download(url: str, dest: Path, sha256: str, size: int) -> Path:
    """Downloads the file of `size` bytes with the given SHA-256 (hex) to `dest`, unless it is already there.

    The download goes to `dest`.part, where it can be resumed, and is renamed once verified. If several processes ask
    for the same file, one downloads it and the others wait.

    Raises:
        DownloadError: no answer, or the connection broke twice (the part is kept). The caller may use a stand-in.
        DataError: the file is not the expected one (a wrong download is deleted), or it cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"{url} cannot be downloaded: only http and https addresses can.")
    part = dest.with_name(dest.name + ".part")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(dest.with_name(dest.name + ".lock")):
            if dest.is_dir():
                raise DataError(f"{dest} is a folder, but a file of {size:,} bytes was expected: remove it.")
            if dest.exists():
                _check(dest, str(dest), "remove it, or put the right file there", sha256, size)
            else:
                log.info("Downloading %s (%s bytes) to %s", url, f"{size:,}", dest)
                _fetch(url, part, dest, size)
                _check_fetched(url, part, sha256, size)
                part.replace(dest)
                log.info("Downloaded %s", dest)
    except OSError as error:
        raise DataError(f"{dest} cannot be written ({error}): choose a writable folder with free space.") from error
    return dest


def _fetch(url: str, part: Path, dest: Path, size: int) -> None:
    """Fills `part` with at least `size` bytes, or raises DownloadError, which suggests placing the file at `dest`."""
    have = _size(part)
    try:
        for _ in range(TRIES):
            if have < size:
                _transfer(url, part, have, size)
                have = _size(part)
        if have < size:
            raise _NoAnswerError(f"the connection broke off after {have:,} bytes")
    except _NoAnswerError as error:
        raise DownloadError(
            f"{url} cannot be downloaded ({error}): try again with a network connection, or put the file of "
            f"{size:,} bytes at {dest}."
        ) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _NoAnswerError(Exception):
    """The server did not send the file; the message says why."""


def _transfer(url: str, part: Path, have: int, size: int) -> None:
    """Requests everything after the first `have` bytes; returns at the end of the file or of the connection."""
    headers = {"User-Agent": "python-urllib", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    answer = _open(request.Request(url, headers=headers))
    if isinstance(answer, HTTPError):
        part.unlink(missing_ok=True)  # 416: the part does not match the server's file, so start over
        return
    with answer:
        # A server that ignores Range answers 200 with the whole file.
        span = answer.headers.get("Content-Range", "")
        start = have if answer.status == 206 and span.startswith(f"bytes {have}-") else 0
        kind = answer.headers.get_content_type()
        total = None if answer.length is None else start + answer.length
        # A captive portal answers every request with an HTML page.
        if total not in (None, size) or kind == "text/html":
            raise DataError(
                f"{url} answered with {total or 'some'} bytes of {kind}, but a file of {size:,} bytes was expected: "
                "try another network, or get the right file elsewhere."
            )
        name = url.rpartition("/")[2]
        shown = activity(f"downloading {name}", size / 1e6, "MB", start / 1e6)
        with part.open("ab" if start else "wb") as file, shown as progress:
            while file.tell() <= size and (block := _read(answer)):
                file.write(block)
                progress.advance(len(block) / 1e6)


def _read(answer: HTTPResponse) -> bytes:
    """The next bytes; empty at the end, and if the connection broke (the caller checks the size)."""
    try:
        return answer.read(BLOCK)
    except (OSError, HTTPException):
        return b""


def _open(asked: request.Request) -> HTTPResponse | HTTPError:
    """Sends the request and returns the answer, or error 416; raises _NoAnswerError after TIMEOUT or on other errors.

    It runs in a thread because a socket's own timeout covers neither DNS lookup nor trying all of a host's addresses.
    """
    answers: queue.Queue[HTTPResponse | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(_opener().open(asked, timeout=TIMEOUT))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=TIMEOUT)
    except queue.Empty:
        raise _NoAnswerError(f"no answer in {TIMEOUT:.0f} seconds") from None
    if isinstance(answer, HTTPError):
        answer.close()
        if 300 <= answer.code < 400:
            raise DataError(f"{asked.full_url} redirects in a way that is not supported ({answer.reason}).")
        if answer.code != 416:
            raise _NoAnswerError(f"the server answered {answer.code} {answer.reason}")
        return answer
    if isinstance(answer, Exception):
        raise _NoAnswerError(str(getattr(answer, "reason", answer)))
    return answer


def _opener() -> request.OpenerDirector:
    """urllib's opener for http and https only; the default one also follows redirects to ftp and opens file: URLs."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _check_fetched(url: str, part: Path, sha256: str, size: int) -> None:
    try:
        _check(part, url, "it was deleted; try again, or get the file elsewhere", sha256, size)
    except DataError:
        part.unlink()
        raise


def _check(path: Path, name: str, advice: str, sha256: str, size: int) -> None:
    """Raises DataError unless the file has that size and SHA-256; `name` and `advice` go into the message."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() == sha256.lower():
        return
    page = ", an HTML page" if head.lstrip().lower().startswith((b"<!doctype html", b"<html")) else ""
    raise DataError(
        f"{name} has {path.stat().st_size:,} bytes with SHA-256 {digest.hexdigest()}{page}, "
        f"but {size:,} bytes with {sha256} were expected: {advice}."
    )
