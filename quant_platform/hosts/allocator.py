"""Allocators that keep the memory which columns leave behind."""

import contextlib
import ctypes
import os

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_KEPT_BYTES = 1 << 30
_AT_ONCE_BYTES = 16 << 20
_LARGEST_BYTES = 32 << 20  # more is refused


def keep_freed_memory() -> None:
    """Let no column's memory go back to the kernel, where the next one is as large: for a process that reads files.

    glibc (NumPy's columns) and mimalloc (Arrow's) give blocks of some megabytes back soon after they are free, and the
    next ones are brought in again page by page: a tenth of a backtest each. With other allocators this does nothing.
    To be called before Arrow is imported, which looks into the environment then.
    """
    os.environ.setdefault("MIMALLOC_PURGE_DELAY", "-1")
    with contextlib.suppress(AttributeError, OSError, TypeError):
        adjust = ctypes.CDLL(None).mallopt
        adjust(_MMAP_THRESHOLD, _LARGEST_BYTES)
        adjust(_TRIM_THRESHOLD, _KEPT_BYTES)
        adjust(_TOP_PAD, _AT_ONCE_BYTES)
