import os
import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.stop import interruptible


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_process_with_its_code(
    number: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught, interruptible(OmegaConf.create({"run_dir": str(tmp_path)})):
        os.kill(os.getpid(), number)
    assert caught.value.code == code
    assert f"Stopped by {signal.Signals(number).name}. To go on: python train.py resume=" in capsys.readouterr().err
    assert signal.getsignal(number) is before
