"""Tab completion, in a real shell in a terminal of its own."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

SHELLS = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i")}
TIMEOUT = 60


class Shell:
    def __init__(self, arguments: tuple[str, ...], here: Path) -> None:
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(here)
            os.environ |= {"PS1": "$ ", "TERM": "dumb", "HOME": str(here)}
            os.execvp(arguments[0], arguments)
        self.shown_until("$ ")
        os.write(self.terminal, f"stty cols 400; . {ROOT}/completion.sh; echo rea''dy\n".encode())
        self.shown_until("\nready")

    def shown_until(self, text: str) -> str:
        """What comes, once the text was there and nothing more comes."""
        output, deadline = "", time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if select.select([self.terminal], [], [], 0.3)[0]:
                output += os.read(self.terminal, 65536).decode(errors="replace")
            elif text in output:
                return output
        raise TimeoutError(f"{text!r} is not in {output!r}")

    def completed(self, typed: str, expected: str) -> str:
        """The command line after the tab key, once it has what is expected."""
        os.write(self.terminal, f"{typed}\t".encode())
        shown = self.shown_until(expected)
        os.write(self.terminal, b"\x15")
        self.shown_until("")
        return shown

    def end(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param} here")
    (tmp_path / "my_photos" / "ants").mkdir(parents=True)
    (tmp_path / "logs" / "digits" / "2026").mkdir(parents=True)
    (tmp_path / "logs" / "digits" / "2026" / "config.yaml").touch()
    opened = Shell(SHELLS[request.param], tmp_path)
    yield opened
    opened.end()


def test_in_a_shell(shell: Shell) -> None:
    for typed, completed in (
        ("train.py experiment=lenet_n", "train.py experiment=lenet_nll"),
        ("train.py datamodule.data_dir=./my_", "train.py datamodule.data_dir=./my_photos/"),
        ("train.py resume=dig", "train.py resume=digits/2026"),
        ("evaluate.py ru", "evaluate.py run="),
        ("evaluate.py checkpoint=b", "evaluate.py checkpoint=best"),
        ("predict.py input=my_photos/a", "predict.py input=my_photos/ants/"),
        ("export.py format=torch", "export.py format=torch_export"),
        ("report.py run=la", "report.py run=last"),
        ("compare.py dig", "compare.py digits/2026"),
        ("check_data.py data_dir=./my_", "check_data.py data_dir=./my_photos/"),
    ):
        assert shell.completed(f"python {ROOT}/{typed}", completed)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("train.py experiment=lenet_nll optimizer.l", "optimizer.lr="),
        ("evaluate.py split=", "split=val split=test split=cross_validation"),
        ("compare.py yes=", "yes=true yes=false"),
        ("predict.py input=x", ""),
    ],
)
def test_what_is_offered(words: str, offered: str, tmp_path: Path) -> None:
    script, *rest = words.split()
    command = [sys.executable, str(ROOT / script), "--complete", *rest]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered.split()
    assert not re.search("torch", done.stderr)
