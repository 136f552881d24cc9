"""Where the servers' programs come from: Maven and Go into a cache that all checkouts share, or the system."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quant_platform.domain.errors import UnavailableError

NATIVE = Path(__file__).resolve().parents[3] / "infra" / "native"
"""What is fetched, and in which version."""

OLDEST_JAVA = 17


def versions() -> Mapping[str, str]:
    """Name → version of everything that is fetched.

    Raises:
        UnavailableError: this is not a checkout of the repository.
    """
    try:
        return tomllib.loads((NATIVE / "versions.toml").read_text("utf-8"))
    except OSError:
        raise UnavailableError(
            f"{NATIVE} is missing, which says what the servers are", "run `quant servers` from a checkout"
        ) from None


def cache_folder() -> Path:
    """Where fetched programs are kept: ``QUANT_SERVERS_CACHE``, by default below the user's cache."""
    chosen = os.environ.get("QUANT_SERVERS_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "quant-platform" / "servers"


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock file for the block, waiting for whoever holds it; a killed process lets go of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def jars(name: str) -> Path:
    """The folder with the jars that ``infra/native/NAME.pom.xml`` names, fetched once.

    Raises:
        UnavailableError: Maven is missing or could not fetch them.
    """
    pinned = versions()
    folder = cache_folder() / f"{name}-{pinned[name]}"
    with locked(cache_folder() / f"{name}.lock"):
        if folder.is_dir():
            return folder
        maven = program("mvn", package="maven")
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        command = [str(maven), "-q", "-B", "-f", str(NATIVE / f"{name}.pom.xml")]
        command += [f"-D{key}={value}" for key, value in pinned.items()]
        command += ["dependency:copy-dependencies", f"-DoutputDirectory={unfinished}", "-DincludeScope=runtime"]
        run_or_explain(command, f"{name} {pinned[name]} could not be fetched by Maven", "look at the network and retry")
        unfinished.rename(folder)
    return folder


def built_by_go(name: str, module: str) -> Path:
    """A program that Go compiles from its module, once; takes minutes.

    Raises:
        UnavailableError: Go is missing, or could not fetch or compile it.
    """
    version = versions()[name]
    folder = cache_folder() / f"{name}-{version}"
    with locked(cache_folder() / f"{name}.lock"):
        if not folder.is_dir():
            go = program("go", package="golang")
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            print(f"compiling {name} {version}: this takes some minutes, once", file=sys.stderr)
            environment = {"GOBIN": str(unfinished), "GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": "0"}
            run_or_explain(
                [str(go), "install", "-ldflags=-s -w", f"{module}@{version}"],
                f"{name} {version} could not be compiled by Go",
                "look at the network and at Go's version, and retry",
                environment=environment,
            )
            unfinished.rename(folder)
    return folder / name


def java() -> Path:
    """The Java on PATH.

    Raises:
        UnavailableError: there is none, or it is too old.
    """
    cure = f"install one: {install_line('openjdk-17-jre-headless')}"
    found = shutil.which("java")
    if found is None:
        raise UnavailableError(f"Java {OLDEST_JAVA} or newer is needed, and there is none on PATH", cure)
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.search(r'version "(\d+)', said.stderr)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise UnavailableError(f"{found} is not Java {OLDEST_JAVA} or newer", cure)
    return Path(found)


def program(name: str, *, package: str, folders: Sequence[Path] = ()) -> Path:
    """A program of the system, from PATH or these folders.

    Raises:
        UnavailableError: it is missing.
    """
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=path)
    if found is None:
        raise UnavailableError(f"{name} is not installed", f"install it: {install_line(package)}")
    return Path(found)


def install_line(package: str) -> str:
    """How this system installs a package that goes by this name at Debian."""
    if shutil.which("apt-get"):
        return f"sudo apt-get install -y {package}"
    return f"the package that Debian calls {package}"


def run_or_explain(
    command: Sequence[str],
    what: str,
    cure: str,
    *,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end, silently.

    Args:
        command: program and arguments.
        what: the beginning of the error's text.
        cure: its end.
        user: run as this user of the system, None for our own.
        environment: added to ours.

    Raises:
        UnavailableError: it failed; its last line is told.
    """
    done = subprocess.run(  # noqa: S603
        command, cwd="/", env=os.environ | (environment or {}), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, errors="replace", check=False, user=user, group=user, extra_groups=() if user else None,
    )  # fmt: skip
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise UnavailableError(f"{what}: {lines[-1] if lines else f'exit code {done.returncode}'}", cure)
