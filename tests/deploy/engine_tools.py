"""Docker Compose for the tests: the system's own, or compiled once into the cache that all checkouts share."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from quant_platform.hosts.servers.programs import NATIVE, cache_folder, locked, program, run_or_explain
from tests.servers import FORBIDDEN_TO_SKIP

COMPOSE_MODULE = NATIVE / "compose"
COMPOSE_PACKAGE = "github.com/docker/compose/v2"


def cannot_be_had(what: str, why: object) -> NoReturn:
    """Skip the test, or fail it where nothing may be skipped."""
    if FORBIDDEN_TO_SKIP:
        pytest.fail(f"CI=true, and {what} cannot be had: {why}", pytrace=False)
    pytest.skip(f"{what} cannot be had: {why}")


def compose_command() -> Sequence[str]:
    """How Compose is started here: Docker's plugin, or the one that Go compiles from infra/native/compose.

    Raises:
        UnavailableError: there is no plugin, and Go is missing or could not compile it.
    """
    if (docker := shutil.which("docker")) is not None:
        asked = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return docker, "compose"
    return (str(_compiled_compose()),)


def _compiled_compose() -> Path:
    pinned = (COMPOSE_MODULE / "go.mod").read_text("utf-8")
    version = pinned.partition(f"require {COMPOSE_PACKAGE} v")[2].split()[0]
    folder = cache_folder() / f"compose-{version}"
    with locked(cache_folder() / "compose.lock"):
        if not folder.is_dir():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(COMPOSE_MODULE, unfinished)
            go = str(program("go", package="golang"))
            command = [go, "-C", str(unfinished), "build", "-ldflags=-s -w", "-o", "docker-compose"]
            run_or_explain(
                [*command, f"{COMPOSE_PACKAGE}/cmd"],
                f"Compose {version} could not be compiled by Go",
                "look at the network and at Go's version, or install Docker's Compose plugin",
                environment={"GOFLAGS": "-mod=readonly -buildvcs=false", "CGO_ENABLED": "0"},
            )
            unfinished.rename(folder)
    return folder / "docker-compose"
