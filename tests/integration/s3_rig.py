"""A real S3 server for the tests, from PATH: versitygw or MinIO, with keys of its own and an empty disk."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = "admin"
HOW_TO_GET_ONE = "no S3 server on PATH: go install github.com/versity/versitygw/cmd/versitygw@latest"


class S3Address(NamedTuple):
    """Where it is, and the keys to it."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Address]:
    """A server for as long as the block lasts; skips the test where there is none."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    secret = secrets.token_hex(12)
    if program := shutil.which("versitygw"):
        command = [program, "--port", address, "posix", str(folder)]
        keys = {"ROOT_ACCESS_KEY": ROOT, "ROOT_SECRET_KEY": secret}
    elif program := shutil.which("minio"):
        command = [program, "server", "--address", address, str(folder)]
        keys = {"MINIO_ROOT_USER": ROOT, "MINIO_ROOT_PASSWORD": secret}
    else:
        pytest.skip(HOW_TO_GET_ONE)
    process = subprocess.Popen(command, env=os.environ | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(address, process)
        yield S3Address(f"http://{address}", ROOT, secret)
    finally:
        process.kill()
        process.wait()


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 60
    while process.poll() is None:
        try:
            socket.create_connection((host, int(port))).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.05)
    pytest.fail("the S3 server ended instead of starting")
