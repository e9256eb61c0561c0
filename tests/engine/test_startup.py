import gc
import subprocess
import sys
from contextlib import suppress

import pytest

from engine.startup import quick_imports
from tests.conftest import ROOT

STARTED = """
import gc, sys
from engine.startup import DeferredModule, quick_imports
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
with quick_imports():
    collections.clear()
    import torchvision, pytorch_lightning
    assert collections == []
assert gc.isenabled()
assert isinstance(sys.modules["torch._dynamo"], DeferredModule)
"""


def test_imports_put_off_what_no_run_needs_and_collect_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", STARTED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_as_before_whatever_happened(was_on: bool) -> None:
    try:
        if not was_on:
            gc.disable()
        with suppress(ImportError), quick_imports():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == was_on
    finally:
        gc.enable()
