import logging
import sys

import pytest

from engine.process import activity as module
from engine.process.activity import Activity, activity, watched
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    return Clock(monkeypatch)


@pytest.fixture(autouse=True)
def nothing_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_under_way", [])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(module, "is_live", lambda stream: True)


def test_a_terminal_shows_it_from_the_first_moment(
    clock: Clock, terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with activity("features", 400, "images") as shown:
        assert "features: 0/400 images" in capsys.readouterr().err
        clock.now += 0.1
        shown.advance(4)
        assert capsys.readouterr().err == "", "too soon"
        clock.now += 9.9
        shown.advance(96)
        assert "\r\x1b[Kfeatures: 100/400 images, 10 per second, 0:00:30 left\r" in capsys.readouterr().err
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "\r\x1b[K\r"), "the line is cleared"


def test_the_line_is_no_longer_than_the_terminal_is_wide(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    Activity("a" * 200)
    line = capsys.readouterr().err.replace("\x1b[K", "").strip("\r")
    assert len(line) == 79
    assert line.endswith("…")


def test_elsewhere_there_are_lines_of_what_takes_long(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Activity("predicting", 1000, "photos")
    for _ in range(130):
        clock.now += 1
        shown.advance(4)
    shown.end()
    lines = capsys.readouterr().err
    assert lines.splitlines() == [
        "predicting: 4/1,000 photos, 4.0 per second, 0:04:09 left",
        "predicting: 244/1,000 photos, 4.0 per second, 0:03:09 left",
        "predicting: 484/1,000 photos, 4.0 per second, 0:02:09 left",
    ]
    assert "\r" not in lines
    assert "\x1b" not in lines


def test_elsewhere_what_is_soon_over_is_silent(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in watched(range(4), "reading"):
        clock.now += 1
    assert capsys.readouterr().err == ""


def test_the_lines_of_a_run_are_in_its_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger().addHandler(caplog.handler)
    shown = Activity("features", 100)
    clock.now += 2
    shown.advance()
    assert [record.message for record in caplog.records] == ["features: 1/100, 0.5 per second, 0:03:18 left"]


def test_a_download_that_goes_on_has_the_speed_of_what_came_since(clock: Clock) -> None:
    shown = Activity("downloading", 100, "MB", done=50)
    clock.now += 5
    shown.advance(25)
    assert shown.describe() == "downloading: 75/100 MB, 5.0 per second, 0:00:05 left"


def test_what_it_was_begun_amid_is_shown_again(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with activity("exporting"):
        with activity("checking", 4):
            pass
        assert capsys.readouterr().err.endswith("\r\x1b[Kexporting …\r")


def test_a_message_stays(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    Activity("predicting", 10, "photos").say("a.jpg \x1b[2Jcannot be read.")
    assert capsys.readouterr().err.endswith("\r\x1b[K\ra.jpg \\x1b[2Jcannot be read.\n")


@pytest.mark.parametrize(("term", "live"), [("xterm-256color", True), ("dumb", False)])
def test_a_dumb_terminal_is_like_a_pipe(monkeypatch: pytest.MonkeyPatch, term: str, live: bool) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert module.is_live(sys.stderr) is live
