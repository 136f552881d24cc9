"""Fixtures that the tests of the deployment share."""

import socket

import pytest


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
