"""Compile the cores' inner functions with Numba and keep the machine code where it can be trusted.

Numba's own cache looks only at the file a function stands in: edit a function that it calls in another file
and the old machine code goes on running. So the folder of the cache is named by a hash over every source that
a kernel can reach, together with the versions that compile it; a changed callee means another folder.

With ``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite  # type: ignore[import-untyped]
import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

KERNEL_SOURCES = ("domain", "ports", "protocol", "indicators", "services")
"""Packages below ``quant_platform`` whose files may define kernels, or constants that a kernel uses."""

DAYS_KEPT = 7
"""A build of the kernels that no process has started with for so long is removed from the cache."""


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
        found = folder.stat()
    except OSError:
        return False
    if hasattr(os, "getuid"):
        others_may_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if found.st_uid != os.getuid() or others_may_write:
            return False
    return os.access(folder, os.W_OK)


def _candidates() -> list[Path]:
    """Folders that may hold the cache, the best first; each stands where only its owner can replace it."""
    chosen = os.environ.get("QUANT_KERNEL_CACHE")
    if chosen:
        return [Path(chosen)]
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # never raises
    return [
        Path(user_cache) / "quant-platform" / "kernels",
        Path(tempfile.gettempdir()) / f"quant-platform-kernels-{user}",
    ]


def _forget_old_builds(base: Path, current: Path) -> None:
    """Let edits of a kernel not fill the disk; "now" is the stamp that the current build was just given."""
    oldest = current.stat().st_mtime - DAYS_KEPT * 86_400
    for build in base.iterdir():
        if re.fullmatch("[0-9a-f]{16}", build.name) and build.stat().st_mtime < oldest:
            shutil.rmtree(build, ignore_errors=True)


def _take_over(build: Path) -> None:
    """Begin a build with the copy in ``QUANT_KERNEL_SEED``: the cache of a container is empty at every start."""
    named = os.environ.get("QUANT_KERNEL_SEED")
    if not named or build.exists():
        return
    copy = build.with_name(f"{build.name}.{os.getpid()}")
    # Another process may have finished its copy in the meantime, which is as good as ours.
    with contextlib.suppress(OSError):
        seed = Path(named) / build.name
        found = seed.stat()
        others_may_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if others_may_write or (hasattr(os, "getuid") and found.st_uid not in {0, os.getuid()}):
            return
        shutil.copytree(seed, copy)
        copy.rename(build)
    shutil.rmtree(copy, ignore_errors=True)


def cache_folder(package: Path | None = None) -> Path | None:
    """The first folder that is ours alone and writable, below which the machine code is kept.

    ``QUANT_KERNEL_CACHE``, when set, is the only candidate; otherwise the user's cache folder and then the
    temporary folder are tried, so that a read-only installation works. A build that is not there yet is copied from
    ``QUANT_KERNEL_SEED``, where that has it and nobody but root and us could have written it.

    Args:
        package: the folder of ``quant_platform``; by default the one this module stands in.

    Returns:
        The folder of this build, or None where there is none: each process then compiles anew.
    """
    key = cache_key(package or Path(__file__).parent)
    for base in _candidates():
        build = base / key
        if not _is_ours(base):
            continue
        _take_over(build)
        if _is_ours(build):
            # Another process may be tidying up at the same moment.
            with contextlib.suppress(FileNotFoundError):
                os.utime(build)
                _forget_old_builds(base, build)
            return build
    return None


_numba: Any = numba.config
_FOLDER = None if _numba.DISABLE_JIT else cache_folder()
if _FOLDER is not None:
    _numba.CACHE_DIR = str(_FOLDER)
elif not _numba.DISABLE_JIT:
    warnings.warn(
        f"compiled kernels cannot be kept in {' or '.join(map(str, _candidates()))}: starts take longer — "
        "set QUANT_KERNEL_CACHE to a folder of yours that nobody else can write",
        RuntimeWarning,
        stacklevel=2,
    )


def _is_covered_by_the_key(module: str) -> bool:
    """Whether an edit of the module, or of what its kernels call, gives another cache folder."""
    package, _, rest = module.partition(".")
    return package == __name__.partition(".")[0] and rest.partition(".")[0] in KERNEL_SOURCES


# Neighbouring divisions and sums share one instruction; each gives the same bits as by itself.
_numba.SLP_VECTORIZE = 1
_UNCOUNTED: Any = {"_nrt": False}
"""Numba's option for code without reference counts, which its type stubs do not know."""


def kernel(function: F) -> F:
    """Compile a pure function of numbers, records and arrays; the decorated function keeps its type.

    IEEE arithmetic without fast-math, so that compiled and plain runs agree to the last bit. Division follows
    NumPy (no exception): a kernel that may divide by zero tests the divisor itself, which is then the same in
    plain Python.

    A kernel allocates nothing; all arrays come as arguments. So they need no reference counts, two atomic operations
    an array and call, which cost three quarters of the time here; Numba refuses to compile one that does allocate.
    Each is compiled into its callers: a call that stays one passes every array's header through memory.

    A kernel from anywhere else, such as a user's own strategy file, is compiled anew by each process.
    """
    cached = _FOLDER is not None and _is_covered_by_the_key(function.__module__)
    compiled = numba.njit(cache=cached, error_model="numpy", nogil=True, forceinline=True, **_UNCOUNTED)
    return cast("F", compiled(function))
