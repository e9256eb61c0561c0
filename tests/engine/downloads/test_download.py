"""Downloads from a real server on the loopback interface, which behaves or misbehaves as each test sets it up."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.downloads import download as module
from engine.downloads.download import DownloadError, download
from engine.errors import DataError
from tests.datamodules.test_full_disk import full_disk
from tests.engine.downloads.server import CONTENT, PAGE, SHA256, Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "data" / "set.zip"


def part_of(dest: Path) -> Path:
    return dest.with_name("set.zip.part")


def fetch(server: Server, dest: Path) -> Path:
    return download(server.url, dest, SHA256, len(CONTENT))


def assert_refused(server: Server, dest: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        fetch(server, dest)
    assert not isinstance(caught.value, DownloadError), "the caller would take a stand-in for tampered data"
    assert server.url in str(caught.value)
    assert not dest.exists()
    assert not part_of(dest).exists()


def test_whole_file_is_fetched_once(server: Server, dest: Path) -> None:
    assert fetch(server, dest) == dest
    assert fetch(server, dest).read_bytes() == CONTENT
    assert server.requests == [None]
    assert not part_of(dest).exists()


def test_broken_connection_is_taken_up_where_it_broke(server: Server, dest: Path) -> None:
    server.most = 200_000
    assert fetch(server, dest).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=200000-"]


def test_connection_that_keeps_breaking_leaves_the_part_for_the_next_call(server: Server, dest: Path) -> None:
    server.most = 100_000
    with pytest.raises(DownloadError, match="broke off after 200,000 bytes"):
        fetch(server, dest)
    assert not dest.exists()
    assert fetch(server, dest).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]


def test_server_without_ranges_starts_again(server: Server, dest: Path) -> None:
    server.ranges = False
    dest.parent.mkdir()
    part_of(dest).write_bytes(b"other" * 100)
    assert fetch(server, dest).read_bytes() == CONTENT
    assert server.requests == ["bytes=500-"]


def test_part_that_the_server_cannot_go_on_from_is_dropped(server: Server, dest: Path) -> None:
    dest.parent.mkdir()
    part_of(dest).write_bytes(CONTENT[:500])
    server.status = 416
    with pytest.raises(DownloadError):
        fetch(server, dest)
    server.status = 200
    assert fetch(server, dest).read_bytes() == CONTENT


def test_complete_part_needs_no_server(dest: Path) -> None:
    dest.parent.mkdir()
    part_of(dest).write_bytes(CONTENT)
    assert download("http://127.0.0.1:9/set.zip", dest, SHA256, len(CONTENT)).read_bytes() == CONTENT


def test_tampered_file_is_refused(server: Server, dest: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    assert_refused(server, dest, f"SHA-256 .* {SHA256} were expected")


def test_damaged_part_is_refused_and_then_fetched_whole(server: Server, dest: Path) -> None:
    dest.parent.mkdir()
    part_of(dest).write_bytes(bytes(1000))
    assert_refused(server, dest, "SHA-256")
    assert fetch(server, dest).read_bytes() == CONTENT


@pytest.mark.parametrize("announces", [True, False])
def test_page_in_the_place_of_the_file_is_refused(server: Server, dest: Path, announces: bool) -> None:
    server.content, server.kind, server.announces = PAGE, "text/html; charset=utf-8", announces
    assert_refused(server, dest, f"{'37' if announces else 'some'} bytes of text/html, .* 256,000 bytes was expected")


def test_page_that_calls_itself_an_archive_is_refused(server: Server, dest: Path) -> None:
    server.content = PAGE + b" " * (len(CONTENT) - len(PAGE))
    assert_refused(server, dest, "an HTML page, but")


def test_page_does_not_cost_the_part_that_was_fetched(server: Server, dest: Path) -> None:
    dest.parent.mkdir()
    part_of(dest).write_bytes(CONTENT[:100_000])
    server.content, server.kind, server.ranges = PAGE, "text/html", False
    with pytest.raises(DataError, match="text/html"):
        fetch(server, dest)
    server.content, server.kind, server.ranges = CONTENT, "application/zip", True
    assert fetch(server, dest).read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=100000-"


def test_file_cut_short_at_the_source_is_refused(server: Server, dest: Path) -> None:
    server.content = CONTENT[:1000]
    assert_refused(server, dest, "answered with 1000 bytes .* 256,000 bytes was expected")


def test_endless_answer_is_stopped(server: Server, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 1000)
    server.content, server.most, server.announces = CONTENT * 40, len(CONTENT) * 40, False
    assert_refused(server, dest, "257,000 bytes")


def test_redirection_is_followed_to_http_alone(server: Server, dest: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    server.status = 302
    for location in (secret.as_uri(), "ftp://127.0.0.1/set.zip", "data:text/plain,hello"):
        server.location = location
        with pytest.raises(DataError):
            fetch(server, dest)
        assert not dest.exists()
    server.location = server.url.replace("set.zip", "elsewhere")
    assert fetch(server, dest).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/set.zip", "set.zip"])
def test_other_schemes_are_refused(url: str, dest: Path) -> None:
    with pytest.raises(DataError, match="only http and https"):
        download(url, dest, SHA256, len(CONTENT))


@pytest.mark.parametrize("status", [404, 503])
def test_error_of_the_server_counts_as_no_network(server: Server, dest: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=f"answered {status}"):
        fetch(server, dest)


def test_no_server_is_said_at_once(server: Server, dest: Path) -> None:
    server.shutdown()
    server.server_close()
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"refused.*put the file of 256,000 bytes at .*set\.zip"):
        fetch(server, dest)
    assert time.monotonic() - start < 2


def test_silent_server_is_given_up(server: Server, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    server.delay = 1.0
    start = time.monotonic()
    with pytest.raises(DownloadError):
        fetch(server, dest)
    assert time.monotonic() - start < 0.9


def test_slow_name_look_up_is_given_up(dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: time.sleep(1))
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer"):
        download("http://nowhere.invalid/set.zip", dest, SHA256, len(CONTENT))
    assert time.monotonic() - start < 0.9


def test_wrong_file_in_the_place_is_named_and_kept(server: Server, dest: Path) -> None:
    dest.parent.mkdir()
    dest.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"data/set\.zip has 4 bytes .* remove it"):
        fetch(server, dest)
    assert dest.read_bytes() == b"mine"
    assert server.requests == []


def test_folder_in_the_place_is_named(server: Server, dest: Path) -> None:
    dest.mkdir(parents=True)
    with pytest.raises(DataError, match=r"set\.zip is a folder, but a file of 256,000 bytes was expected"):
        fetch(server, dest)
    assert server.requests == []


def test_folder_in_the_place_of_the_part_is_named(server: Server, dest: Path) -> None:
    part_of(dest).mkdir(parents=True)
    with pytest.raises(DataError, match=r"cannot be written \(.*Is a directory: .*set\.zip\.part"):
        fetch(server, dest)


def test_unwritable_place_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/set\.zip cannot be written") as caught:
        fetch(server, tmp_path / "file" / "set.zip")
    assert not isinstance(caught.value, DownloadError)


def test_full_disk_is_told_and_the_download_goes_on_when_there_is_room(server: Server, dest: Path) -> None:
    with (
        pytest.raises(DataError, match=rf"{dest} cannot be written \(.*File too large.*\): .* free space"),
        full_disk(),
    ):
        fetch(server, dest)
    assert not dest.exists()
    have = part_of(dest).stat().st_size
    assert 0 < have < len(CONTENT)
    assert fetch(server, dest).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={have}-"]


def test_several_processes_download_once(server: Server, dest: Path) -> None:
    server.delay = 0.3
    code = (
        "import sys; from pathlib import Path; from engine.downloads.download import download; "
        "download(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
    )
    command = [sys.executable, "-c", code, server.url, str(dest), SHA256, str(len(CONTENT))]
    processes = [subprocess.Popen(command, cwd=Path(module.__file__).parents[2]) for _ in range(4)]
    assert [process.wait(timeout=30) for process in processes] == [0, 0, 0, 0]
    assert server.requests == [None]
    assert dest.read_bytes() == CONTENT
