"""No .env file leaves the machine: not with git, not in the image, not in the wheel."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from quant_platform.hosts.installation import BROKER_FILE, SERVERS_FILE
from tests.deploy.compose_file import REPOSITORY

REACHED = (SERVERS_FILE, BROKER_FILE, f"quant_platform/{BROKER_FILE}", "infra/.env", f"{SERVERS_FILE}.4711")
"""Every path by which a .env may be found; `services` is a link into the package, a number ends what was cut short."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What git has of this checkout, with .env files where they belong."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        target = tmp_path / name
        if name.startswith(("quant_platform/", "infra/")) or "/" not in name:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target, follow_symlinks=False)
    for name in REACHED:
        (tmp_path / name).write_text("UPSTOX_ACCESS_TOKEN=a-secret\n", "utf-8")
    return tmp_path


def test_git_ignores_them() -> None:
    # A path that leads through the link to another place is no path to git.
    for name in set(REACHED) - {BROKER_FILE}:
        asked = subprocess.run(["git", "check-ignore", "--no-index", "-q", name], cwd=REPOSITORY, check=False)
        assert asked.returncode == 0, name
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not [name for name in listed.stdout.splitlines() if Path(name).name.startswith(".env")]


def test_the_image_is_built_from_nothing_but_the_package() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = {rule[1:] for rule in rules if rule.startswith("!")}
    assert taken == {"pyproject.toml", "uv.lock", "README.md", "quant_platform"}
    # The last rule that matches wins: what is taken away again stands below what is let in.
    assert rules.index("**/.env") > max(rules.index(f"!{name}") for name in taken)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_published_has_none(copy: Path, tmp_path: Path, kind: str) -> None:
    uv = shutil.which("uv") or str(REPOSITORY / ".uv" / "bin" / "uv")
    out = tmp_path / "made"
    environment = {**os.environ, "UV_SYSTEM_CERTS": "true"}
    built = subprocess.run(
        [uv, "build", f"--{kind}", "--out-dir", str(out), "--quiet", str(copy)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    [made] = [path for path in out.iterdir() if path.suffix in {".whl", ".gz"}]
    if kind == "wheel":
        names = zipfile.ZipFile(made).namelist()
    else:
        names = subprocess.run(["tar", "tzf", str(made)], capture_output=True, text=True, check=True).stdout.split("\n")
    assert any(name.endswith("services/ingestion/normalise.py") for name in names)
    assert not [name for name in names if Path(name).name.startswith(".env")]
