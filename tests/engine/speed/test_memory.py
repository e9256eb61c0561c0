import os
import platform
import resource
import subprocess
import sys

import pytest

from tests.conftest import ROOT

BLOCKS = """
import resource
import torch
from engine.speed.memory import keep_freed_memory

{prepare}
for number in range(40):
    if number == 30:  # what is small has found its place among what is large
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(16 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(prepare: str) -> int:
    """Of the last ten of blocks of 16 MiB that are written to, each after the one before has been freed."""
    command = [sys.executable, "-c", BLOCKS.format(prepare=prepare)]
    # The default of glibc, which adapts to the sizes it has seen, but not to blocks as large as these.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_used_again() -> None:
    pages = 10 * (16 << 20) // resource.getpagesize()
    assert page_faults("keep_freed_memory()") < 0.01 * pages
    assert page_faults("") > 0.9 * pages
