"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from quant_platform.hosts.config import USUAL_NAMES

pytest_plugins = ["tests.servers"]

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

# No deadline: the first example of a property may wait for a kernel to be compiled.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--kills N``: how often the chaos test over the servers strikes."""
    parser.addoption("--kills", type=int, default=50, help="of services and servers in tests/chaos")


@pytest.fixture(scope="session")
def kills(pytestconfig: pytest.Config) -> int:
    """How often the chaos test strikes."""
    return int(pytestconfig.getoption("--kills"))


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder to be in, and no settings or tokens of this machine."""
    for name in list(os.environ):
        is_ours = name.startswith(("QUANT_", "UPSTOX_")) and name != "QUANT_KERNEL_CACHE"
        if is_ours or name in USUAL_NAMES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data, which is never part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real market data is not at {SHARED_DATA}")
    return SHARED_DATA
