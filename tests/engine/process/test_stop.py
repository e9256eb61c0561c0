import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.paths import command
from engine.process.stop import LIGHTNINGS, interruptible
from tests.conftest import ROOT


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_process_with_its_code(
    number: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught, interruptible(OmegaConf.create({"run_dir": str(tmp_path)})):
        os.kill(os.getpid(), number)
    assert caught.value.code == code
    advice = f"To continue: {command('train.py')} resume={tmp_path}"
    assert f"Stopped by {signal.Signals(number).name}. {advice}" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_an_additional_process_of_a_training_does_not_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C goes to all of them, and Lightning kills the first one, which tells, once another ends with a failure."""
    monkeypatch.setattr(sys, "argv", ["train.py", f"{LIGHTNINGS}1"])
    with pytest.raises(SystemExit) as caught, interruptible(OmegaConf.create({"run_dir": str(tmp_path)})):
        os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.code == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_amid_the_imports(script: str, number: int, tmp_path: Path) -> None:
    """`-X importtime` tells when the first imports are made."""
    command = [sys.executable, "-X", "importtime", str(ROOT / script), "run=x"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = iter(process.stderr.readline, "")
        assert any("engine.process.stop" in line for line in seen)
        assert any("omegaconf" in line for line in seen)  # which comes later
        process.send_signal(number)
        said = [line for line in process.stderr.read().splitlines() if not line.startswith("import time")]
    assert process.returncode == 128 + number
    assert said == [f"Stopped by {signal.Signals(number).name}."]


def test_what_is_being_written_when_the_process_ends_at_once_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from engine.process.stop import end_at_once; "
        "from engine.files import replacing; end_at_once()\n"
        "with replacing(Path(sys.argv[1], 'page.html')) as file:\n"
        "    file.write(b'half'); os.kill(os.getpid(), signal.SIGTERM)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    assert list(tmp_path.iterdir()) == []
