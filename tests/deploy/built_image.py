"""Our image as buildah builds it from the Dockerfile, on a base that debootstrap makes, and its containers."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from quant_platform.domain.errors import UnavailableError
from quant_platform.hosts.servers.programs import cache_folder, locked, program, run_or_explain
from tests.deploy.compose_file import REPOSITORY

BASE = "localhost/base"
IMAGE = "localhost/quant-platform"
RELEASE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = "/etc/ssl/certs"  # of this machine, which may have some of its own


def base_folder() -> Path:
    """A Debian with Python, as the Dockerfile's own base is one; made once.

    Raises:
        UnavailableError: this is not root, or debootstrap is missing or failed.
    """
    if os.geteuid() != 0:
        raise UnavailableError("an image is built without Docker by root only", "run this test as root")
    folder = cache_folder() / f"base-{RELEASE}"
    with locked(cache_folder() / "base.lock"):
        if not folder.is_dir():
            debootstrap = program("debootstrap", package="debootstrap", folders=[Path("/usr/sbin")])
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            run_or_explain(
                [str(debootstrap), "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(unfinished)],
                f"a Debian {RELEASE} could not be made by debootstrap",
                "look at the network, and whether this container may mount and make devices",
            )
            unfinished.rename(folder)
    return folder


class Buildah:
    """Buildah with a store of its own.

    Args:
        folder: for the store; some gigabytes while the image is built.

    Raises:
        UnavailableError: buildah is missing.
    """

    def __init__(self, folder: Path) -> None:
        store = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self.command = [str(program("buildah", package="buildah")), *store]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {arguments[0]}: {(done.stdout + done.stderr)[-3000:]}"
        return done.stdout.strip()

    def build(self, context: Path) -> None:
        """Build the context's Dockerfile under the name :data:`IMAGE`."""
        scratch = self("from", "scratch")
        self("add", "--quiet", scratch, str(base_folder()), "/")
        self("commit", "--quiet", "--rm", scratch, BASE)
        self(
            "bud", "--isolation", "chroot", "--pull-never", "--build-arg", f"BASE={BASE}", "--tag", IMAGE,
            "--file", str(context / "infra" / "Dockerfile"), "--ignorefile", str(context / ".dockerignore"),
            "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", str(context),
        )  # fmt: skip

    def configuration(self) -> Mapping[str, Any]:
        """What the image tells an engine: user, environment, entry point."""
        found: Mapping[str, Any] = json.loads(self("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
        return found

    @contextlib.contextmanager
    def container(self) -> Iterator["Container"]:
        """A container of the image, for as long as the block lasts."""
        name = self("from", "--pull-never", IMAGE)
        try:
            yield Container(self, name, Path(self("mount", name)))
        finally:
            self("umount", name)
            self("rm", name)


class Container:
    """One container: its files as this machine sees them, and programs run in it as an engine would."""

    def __init__(self, buildah: Buildah, name: str, files: Path) -> None:
        self._buildah = buildah
        self._name = name
        self.files = files

    def start(self, command: Sequence[str], **environment: str) -> "subprocess.Popen[str]":
        """Start a command, with the image's user and environment, on this machine's network."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        line = [*self._buildah.command, "run", "--isolation", "chroot", *variables, self._name, "--", *command]
        return subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(command, **environment)
        said, _ = process.communicate(timeout=120)
        return subprocess.CompletedProcess(command, process.returncode, said)


def first_process(started: "subprocess.Popen[str]", user: int) -> psutil.Process:
    """The process that an engine would signal: the first of the image's user that runs a program of the image."""
    inside = [
        process
        for process in psutil.Process(started.pid).children(recursive=True)
        if process.uids().real == user and process.cmdline()[0].startswith("/opt/quant/")
    ]
    assert inside, "nothing runs in the container"
    return inside[0]


def copy_of_the_checkout(folder: Path) -> Path:
    """What the builder may see of this checkout, and what it must not: .env files where they belong."""
    for name in ("pyproject.toml", "uv.lock", "README.md", ".dockerignore", "compose.yaml"):
        shutil.copy2(REPOSITORY / name, folder / name)
    for name in ("quant_platform", "infra"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".env", "infra/.env", "quant_platform/services/ingestion/.env"):
        (folder / name).write_text("UPSTOX_ACCESS_TOKEN=a-secret\n", "utf-8")
    return folder
