"""Features of every stream as plain Python computes them, in a process without the compiler."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import REPOSITORY


@pytest.fixture(scope="session")
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.float64]]:
    """``stream/feature`` → column."""
    target: Path = tmp_path_factory.mktemp("plain") / "features.npz"
    subprocess.run(
        [sys.executable, "-m", "tests.unit.indicators.streams", str(target)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=REPOSITORY,
        check=True,
        timeout=300,
    )
    with np.load(target) as columns:
        assert not columns["compiled"]
        return dict(columns)
