"""Compiled kernels are kept, never stale, never written into the package, never taken from another user."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from quant_platform import kernel as real_kernel

CALLEE = """
from quant_platform.kernel import kernel

@kernel
def factor(x):
    return {factor} * x
"""

CALLER = """
from quant_platform.domain.callee import factor
from quant_platform.kernel import kernel

@kernel
def total(n):
    result = 0
    for i in range(n):
        result += factor(i)
    return result

@kernel
def ratio(a, b):
    return a / b if b != 0 else 0.0
"""

# Prints the answer, and whether machine code came from the cache or was compiled by this very process.
PROGRAM = """
from quant_platform.services.caller import total
answer = total(4)
stats = total.stats
print(answer, "hit" if sum(stats.cache_hits.values()) else "compiled")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A little package beside the real one's kernel.py, whose kernels call each other across files."""
    package = tmp_path / "install" / "quant_platform"
    for folder in ("", "domain", "services", "hosts"):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").touch()
    (package / "kernel.py").write_bytes(Path(real_kernel.__file__).read_bytes())
    (package / "domain" / "callee.py").write_text(CALLEE.format(factor=10))
    (package / "services" / "caller.py").write_text(CALLER)
    return package


def run(package: Path, program: str, **environment: str) -> str:
    """What a new process prints that has this package first on its path, standard error included."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "QUANT_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        cwd=package.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_new_process_takes_kept_code_unless_a_callee_in_another_file_was_edited(
    package: Path, tmp_path: Path
) -> None:
    cache = str(tmp_path / "cache")
    assert run(package, PROGRAM, QUANT_KERNEL_CACHE=cache) == "60 compiled"
    (package / "hosts" / "screen.py").write_text("COLOUR = 1\n")  # no kernel can reach it
    assert run(package, PROGRAM, QUANT_KERNEL_CACHE=cache) == "60 hit"
    (package / "domain" / "callee.py").write_text(CALLEE.format(factor=11))
    assert run(package, PROGRAM, QUANT_KERNEL_CACHE=cache) == "66 compiled"


@pytest.mark.parametrize("name", ["numba", "llvmlite", "np"])
def test_another_version_of_the_compiler_names_another_folder(
    package: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = real_kernel.cache_key(package)
    monkeypatch.setattr(getattr(real_kernel, name), "__version__", "0.0.0")
    assert real_kernel.cache_key(package) != before


def test_a_renamed_source_names_another_folder(package: Path) -> None:
    before = real_kernel.cache_key(package)
    (package / "services" / "caller.py").rename(package / "services" / "called.py")
    assert real_kernel.cache_key(package) != before


def test_a_read_only_installation_keeps_its_kernels_elsewhere(package: Path, tmp_path: Path) -> None:
    before = files(package)  # root may write into a read-only folder, so look at what is there as well
    folders = [package, *(entry for entry in before if entry.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert run(package, PROGRAM, HOME=str(tmp_path / "home")) == "60 compiled"
        assert run(package, PROGRAM, HOME=str(tmp_path / "home")) == "60 hit"
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert files(package) == before
    assert list((tmp_path / "home" / ".cache" / "quant-platform" / "kernels").iterdir())


def test_without_a_usable_home_the_temporary_folder_is_taken(package: Path, tmp_path: Path) -> None:
    not_a_folder = tmp_path / "home"
    not_a_folder.touch()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert run(package, PROGRAM, HOME=str(not_a_folder), TMPDIR=str(scratch)) == "60 compiled"
    assert list(scratch.glob("quant-platform-kernels-*/*/**/*.nbi"))


def test_without_any_folder_kernels_still_run_and_the_user_is_told_what_to_set(package: Path, tmp_path: Path) -> None:
    not_a_folder = tmp_path / "file"
    not_a_folder.touch()
    said = run(package, PROGRAM, QUANT_KERNEL_CACHE=str(not_a_folder / "cache"))
    assert said.endswith("60 compiled")
    assert "set QUANT_KERNEL_CACHE to a folder of yours" in said


def test_a_folder_of_another_user_is_refused(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "cache"
    monkeypatch.setenv("QUANT_KERNEL_CACHE", str(base))
    ours = real_kernel.cache_folder(package)
    assert ours is not None
    assert ours.parent == base
    monkeypatch.setattr(os, "getuid", lambda: base.stat().st_uid + 1)
    assert real_kernel.cache_folder(package) is None


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_is_refused(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    base = tmp_path / "cache"
    base.mkdir()
    base.chmod(mode)
    monkeypatch.setenv("QUANT_KERNEL_CACHE", str(base))
    assert real_kernel.cache_folder(package) is None


def test_a_new_folder_is_closed_to_others(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_KERNEL_CACHE", str(tmp_path / "cache"))
    folder = real_kernel.cache_folder(package)
    assert folder is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_only_builds_unused_for_a_week_are_removed(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "cache"
    monkeypatch.setenv("QUANT_KERNEL_CACHE", str(base))
    current = real_kernel.cache_folder(package)
    assert current is not None
    now = current.stat().st_mtime
    ages = {"0" * 16: 6, "1" * 16: 8, "not-a-build": 8}
    for name, days in ages.items():
        (base / name).mkdir()
        os.utime(base / name, (now - days * 86_400,) * 2)
    assert real_kernel.cache_folder(package) == current
    assert {entry.name for entry in base.iterdir()} == {current.name, "0" * 16, "not-a-build"}


def test_an_empty_cache_begins_with_what_the_image_brought_along(package: Path, tmp_path: Path) -> None:
    seed, cache = tmp_path / "seed", tmp_path / "cache"
    assert run(package, PROGRAM, QUANT_KERNEL_CACHE=str(seed)) == "60 compiled"
    for _ in range(2):
        assert run(package, PROGRAM, QUANT_KERNEL_SEED=str(seed), QUANT_KERNEL_CACHE=str(cache)) == "60 hit"
    [build] = cache.iterdir()
    assert {file.name for file in files(build)} == {file.name for file in files(seed / build.name)}
    (package / "domain" / "callee.py").write_text(CALLEE.format(factor=11))
    assert run(package, PROGRAM, QUANT_KERNEL_SEED=str(seed), QUANT_KERNEL_CACHE=str(cache)) == "66 compiled"


def test_a_seed_that_others_can_write_is_not_taken(package: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    assert run(package, PROGRAM, QUANT_KERNEL_CACHE=str(seed)) == "60 compiled"
    [build] = seed.iterdir()
    build.chmod(0o777)
    cache = str(tmp_path / "cache")
    assert run(package, PROGRAM, QUANT_KERNEL_SEED=str(seed), QUANT_KERNEL_CACHE=cache) == "60 compiled"


def test_a_kernel_outside_the_hashed_sources_is_compiled_but_not_kept(package: Path, tmp_path: Path) -> None:
    (package.parent / "own_strategy.py").write_text(CALLER)
    program = PROGRAM.replace("quant_platform.services.caller", "own_strategy")
    for _ in range(2):
        assert run(package, program, QUANT_KERNEL_CACHE=str(tmp_path / "cache")) == "60 compiled"


def test_plain_python_and_machine_code_answer_alike_where_the_divisor_is_zero(package: Path, tmp_path: Path) -> None:
    program = """
import numpy as np
from quant_platform.services.caller import ratio
column = np.array([0.0, -0.0, 3.0])
print([float(ratio(b, a)).hex() for a in column for b in column], ratio(1, 0), hasattr(ratio, "stats"))
"""
    compiled = run(package, program, QUANT_KERNEL_CACHE=str(tmp_path / "cache"))
    plain = run(package, program, QUANT_KERNEL_CACHE=str(tmp_path / "cache"), NUMBA_DISABLE_JIT="1")
    assert compiled.endswith("True")
    assert plain.endswith("False")
    assert plain.removesuffix("False") == compiled.removesuffix("True")
