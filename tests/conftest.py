"""Fixtures that all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data, which is never part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real market data is not at {SHARED_DATA}")
    return SHARED_DATA
