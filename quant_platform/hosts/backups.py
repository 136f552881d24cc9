"""What a backup is made of: its files below ``backups/NAME/`` and, written last, the manifest that makes it one."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from quant_platform.adapters.objects.obstore import Objects
from quant_platform.domain.errors import DataError, UsageError
from quant_platform.hosts.config import Settings
from quant_platform.hosts.home import HomeFolder
from quant_platform.hosts.object_store import open_objects
from quant_platform.ports.object_store import ObjectStore

FOLDER = "backups"
LEDGER = "ledger.sqlite.gz"
UNPACKED = "ledger.sqlite"
TICKS = "ticks"
SERIES = "questdb"
"""Folders of a home's days of ticks, and of those of the series store."""
MANIFEST = "manifest.json"
FORMAT = 1

_CHUNK = 1 << 20


class BackupFile(msgspec.Struct, frozen=True):
    """One file of a backup."""

    path: str  # below the backup's folder: ledger.sqlite.gz, ticks/date=2026-07-31/ticks.parquet
    size: int  # bytes
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a whole backup holds."""

    format: int
    made_at: datetime
    mode: str  # whose ledger it was: embedded | distributed
    revision: str  # of the ledger's schema
    runs: Mapping[str, str]  # run id → ledger_sha256
    files: Sequence[BackupFile]


class _Sealed(msgspec.Struct, frozen=True):
    sha256: str  # of the manifest as it stands here, byte by byte
    manifest: msgspec.Raw


class _Numbered(msgspec.Struct, frozen=True):
    format: int


class Backup:
    """One backup in an object store.

    Args:
        objects: where it is.
        name: of the backup.
    """

    def __init__(self, objects: ObjectStore, name: str) -> None:
        self._objects = objects
        self.name = name

    def put(self, path: str, content: Path) -> BackupFile:
        """Write a file of the backup; the content must not change meanwhile."""
        digest, size = sha256_of(content)
        with content.open("rb") as source:
            self._objects.put(self._key(path), source)
        return BackupFile(path, size, digest)

    def seal(self, manifest: Manifest) -> None:
        """Make it a backup: only what has a manifest is one.

        Raises:
            UsageError: there is a backup of this name.
        """
        raw = msgspec.json.encode(manifest)
        sealed = _Sealed(hashlib.sha256(raw).hexdigest(), msgspec.Raw(raw))
        if not self._objects.put_if_absent(self._key(MANIFEST), msgspec.json.encode(sealed)):
            raise UsageError(
                f"there is a backup {self.name} in {self._objects.where}", "try again: it gets another name"
            )

    def manifest(self) -> Manifest:
        """What the backup holds.

        Raises:
            UsageError: there is none of this name.
            DataError: it is torn, changed, or of a newer program.
        """
        if self._objects.find(self._key(MANIFEST)) is None:
            if next(iter(self._objects.list(self._key(""))), None) is not None:
                raise DataError(
                    f"backup {self.name} in {self._objects.where} is torn: it has no {MANIFEST}", "take another one"
                )
            raise UsageError(
                f"there is no backup {self.name} in {self._objects.where}", "`quant restore` tells which there are"
            )
        content = io.BytesIO()
        self._objects.get(self._key(MANIFEST), content)
        try:
            sealed = msgspec.json.decode(content.getvalue(), type=_Sealed)
            if hashlib.sha256(sealed.manifest).hexdigest() != sealed.sha256:
                raise self._changed(MANIFEST)
            if msgspec.json.decode(sealed.manifest, type=_Numbered).format > FORMAT:
                raise DataError(f"backup {self.name} is of a newer program", "upgrade quant-platform")
            return msgspec.json.decode(sealed.manifest, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._changed(MANIFEST) from None

    def fetch(self, manifest: Manifest, folder: Path) -> None:
        """Bring all files below a folder, each compared with the manifest.

        Raises:
            DataError: one is missing, or not what was written.
        """
        for file in manifest.files:
            target = folder / file.path
            if not target.resolve().is_relative_to(folder.resolve()):
                raise self._changed(MANIFEST)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as stream:
                self._objects.get(self._key(file.path), stream)
            if sha256_of(target) != (file.sha256, file.size):
                raise self._changed(file.path)

    def _key(self, path: str) -> str:
        return f"{FOLDER}/{self.name}/{path}".rstrip("/")

    def _changed(self, path: str) -> DataError:
        return DataError(
            f"{path} of backup {self.name} in {self._objects.where} is not what was written", "take another backup"
        )


def backup_names(objects: ObjectStore) -> list[str]:
    """Every whole backup, the newest last."""
    keys = (found.key.split("/") for found in objects.list(FOLDER))
    return sorted(key[1] for key in keys if key[2:] == [MANIFEST])


def store_at(folder: Path | None, settings: Settings, home: HomeFolder) -> Objects:
    """The folder that was asked for, else the object store of the settings."""
    return open_objects(settings, home) if folder is None else Objects.in_folder(folder)


def sha256_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file, in memory that does not grow with it."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source:
        for chunk in chunks(source):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """The rest of a file, piece by piece."""
    while chunk := source.read(_CHUNK):
        yield chunk
