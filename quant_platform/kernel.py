"""Compile the cores' inner functions with Numba and keep the machine code where it can be trusted.

Numba's own cache looks only at the file a function stands in: edit a function that it calls in another file and the
old machine code goes on running. So the folder of the cache is named by a hash over every source that can hold a
kernel, together with the versions that compile it; a changed callee means another folder.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

KERNEL_SOURCES = ("domain", "indicators", "services")
"""Packages below ``quant_platform`` whose files may define kernels."""


def cache_key(package: Path) -> str:
    """Name the cache folder: a hash of all kernel sources and of what compiles them.

    Args:
        package: the folder of ``quant_platform``.

    Returns:
        Sixteen hexadecimal digits.
    """
    digest = hashlib.sha256()
    for part in (numba.__version__, llvmlite.__version__, np.__version__, sys.version):
        digest.update(part.encode() + b"\0")
    sources = [package / "kernel.py"]
    for folder in KERNEL_SOURCES:
        sources += sorted((package / folder).rglob("*.py"))
    for source in sources:
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _is_ours(folder: Path) -> bool:
    """Make the folder if it can be made; refuse one that another user could have filled with code."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    owned = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    return owned and os.access(folder, os.W_OK)


def cache_folder(package: Path | None = None) -> Path | None:
    """The first folder that is ours and writable, below which the machine code is kept.

    ``QUANT_KERNEL_CACHE``, when set, is the only candidate; otherwise the user's cache folder and then the
    temporary folder are tried, so that a read-only installation works.

    Returns:
        The folder of this build, or None where nothing is writable (kernels are then compiled anew each time).
    """
    package = package or Path(__file__).parent
    key = cache_key(package)
    chosen = os.environ.get("QUANT_KERNEL_CACHE")
    if chosen:
        candidates = [Path(chosen)]
    else:
        user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        candidates = [
            Path(user_cache) / "quant-platform" / "kernels",
            Path(tempfile.gettempdir()) / f"quant-platform-{user}" / "kernels",
        ]
    for base in candidates:
        if _is_ours(base) and _is_ours(base / key):
            return base / key
    return None


_FOLDER = cache_folder()
if _FOLDER is not None:
    numba.config.CACHE_DIR = str(_FOLDER)


def kernel(function: F) -> F:
    """Compile a pure function of numbers, records and arrays; the decorated function keeps its type.

    IEEE arithmetic without fast-math, so that compiled and plain runs agree to the last bit. Division follows NumPy
    (no exception): a kernel that may divide by zero tests the divisor itself, which is then the same in plain Python.
    """
    compiled = numba.njit(cache=_FOLDER is not None, error_model="numpy", nogil=True)(function)
    return cast("F", compiled)
