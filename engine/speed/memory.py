"""What the C library does with memory that is freed."""

import ctypes
import platform

# From malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Freed memory stays with this process, for its next step. Without effect where the C library is not glibc.

    glibc returns large blocks to the system at once, so that each step got its activations anew, page by page: on 2
    cores that took a tenth of the time of cifar10_airbench, and of transfer_finetune. The peak memory is the same.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)  # large blocks come from the heap, like all others
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # which never shrinks
