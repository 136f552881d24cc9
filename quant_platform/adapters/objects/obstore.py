"""Objects in a folder or in a bucket of any S3 server (:class:`~quant_platform.ports.object_store.ObjectStore`)."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Self
from urllib.parse import urlsplit

import httpx
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from quant_platform.domain.errors import ConfigurationError, DataError, QuantError, UnavailableError
from quant_platform.ports.object_store import ObjectInfo

if TYPE_CHECKING:
    from obstore import ObjectMeta

PART_BYTES = 5 * 1024 * 1024
PARTS_AT_ONCE = 4
"""With the size of a part this bounds the memory that a large object takes."""

MADE_WITHIN_S = 30.0

_CODE = re.compile(r"<Code>(\w+)</Code>")
_REFUSED = re.compile(r"status code: 40[13]|<Code>(?:InvalidAccessKeyId|XAdminUserNotFound)</Code>")
_SIGNATURE_LIVES = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket is, and the keys to it. The region is AWS's own variable's (``AWS_REGION``), or ``us-east-1``.

    Attributes:
        endpoint_url: of the S3 server, ``http://127.0.0.1:9000``.
        name: of the bucket.
        access_key_id: may be empty, which is refused.
        secret_access_key: likewise.
        prefix: a folder within the bucket that all keys are below; empty for none.
    """

    endpoint_url: str
    name: str
    access_key_id: str
    secret_access_key: str
    prefix: str = ""

    def __repr__(self) -> str:
        """Without the keys."""
        return f"Bucket({self.endpoint_url}, {self.name}, {self.prefix})"

    def open(self, prefix: str) -> S3Store:
        """The bucket, or a folder in it."""
        return S3Store(
            self.name,
            prefix=prefix or None,
            config={
                "endpoint": self.endpoint_url,
                "aws_endpoint_url_s3": self.endpoint_url,  # else a variable of that name would win
                "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key,
                "virtual_hosted_style_request": False,
                "disable_bulk_delete": True,
            },
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=3),
                "read_timeout": timedelta(minutes=2),
                "timeout": timedelta(hours=1),  # of a whole object: the read timeout finds a dead connection
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )


def ask_for_bucket(bucket: Bucket, method: Literal["GET", "PUT"], within_s: float) -> tuple[httpx.Response, str]:
    """Look for a bucket or make it: requests that the library does not know, but signs.

    Returns:
        The answer, and the server's own word for what went wrong (else ``HTTP 503``).

    Raises:
        httpx.HTTPError: the server cannot be reached. Its text may hold the signature.
    """
    signed = obstore.sign(bucket.open(""), method, "", _SIGNATURE_LIVES)  # the bucket is the empty path
    reply = httpx.request(method, signed, timeout=within_s)
    found = _CODE.search(reply.text)
    return reply, found[1] if found else f"HTTP {reply.status_code}"


class Objects:
    """Objects of a folder or a bucket. Made by :meth:`in_folder` or :meth:`in_bucket`, which touch nothing yet."""

    def __init__(self, store: LocalStore | S3Store, where: str, root: Path | None, bucket: Bucket | None) -> None:
        self._store = store
        self._where = where
        self._root = root
        self._bucket = bucket
        self._is_known_to_answer = bucket is None

    @classmethod
    def in_folder(cls, root: Path) -> Self:
        """Objects as files below a folder, which is made.

        Raises:
            UnavailableError: the folder cannot be made.
        """
        root = root.absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"folder {root} cannot be made: {error.strerror}", "name another one") from None
        return cls(LocalStore(root), f"folder {root}", root, None)

    @classmethod
    def in_bucket(cls, bucket: Bucket) -> Self:
        """Objects of a bucket, which is made at the first use where it is missing.

        Raises:
            ConfigurationError: the address cannot be one, or a key is missing.
        """
        address = urlsplit(bucket.endpoint_url)
        if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
            raise ConfigurationError(
                "setting objects.endpoint_url is no address of an S3 server",
                "write it like http://127.0.0.1:9000; keys have settings of their own",
            )
        for setting, value in (
            ("access_key_id", bucket.access_key_id),
            ("secret_access_key", bucket.secret_access_key),
        ):
            if not value:
                raise ConfigurationError(
                    f"setting objects.{setting} is missing, and {bucket.endpoint_url} lets nobody in without",
                    "set both keys, or no objects.endpoint_url to use a folder",
                )
        where = f"bucket {'/'.join(filter(None, (bucket.name, bucket.prefix)))} at {bucket.endpoint_url}"
        return cls(bucket.open(bucket.prefix), where, None, bucket)

    @property
    def where(self) -> str:
        """``folder /path`` or ``bucket name at http://address``."""
        return self._where

    def put(self, key: str, source: BinaryIO) -> None:
        """Write an object, in several parts where it is large; replaces another of its key.

        Raises:
            UnavailableError: the store cannot be reached or written now.
            ConfigurationError: it refuses us.
        """
        with self._faults_named(key):
            obstore.put(self._store, key, source, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
            self._make_durable(key)

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write a small object unless there is one of this key (then False).

        Raises:
            UnavailableError: the store cannot be reached or written now.
            ConfigurationError: it refuses us.
        """
        with self._faults_named(key):
            try:
                obstore.put(self._store, key, content, mode="create")
            except AlreadyExistsError:
                return False
            self._make_durable(key)
            return True

    def get(self, key: str, target: BinaryIO) -> None:
        """Read an object into the target.

        Raises:
            DataError: there is no such object.
            UnavailableError: the store cannot be reached or read now.
            ConfigurationError: it refuses us.
        """
        with self._faults_named(key):
            for part in obstore.get(self._store, key).stream(min_chunk_size=PART_BYTES):
                target.write(part)

    def find(self, key: str) -> ObjectInfo | None:
        """What is known of an object; None where there is none.

        Raises:
            UnavailableError: the store cannot be reached or read now.
            ConfigurationError: it refuses us.
        """
        with self._faults_named(key):
            try:
                return _info(obstore.head(self._store, key))
            except FileNotFoundError:
                return None

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        """Every object below a folder, in no order.

        Raises:
            UnavailableError: the store cannot be reached or read now.
            ConfigurationError: it refuses us.
        """
        with self._faults_named(folder):
            for found in obstore.list(self._store, folder or None):
                yield from map(_info, found)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is none the less gone.

        Raises:
            UnavailableError: the store cannot be reached or written now.
            ConfigurationError: it refuses us.
        """
        for key in keys:
            with self._faults_named(key), suppress(FileNotFoundError):
                obstore.delete(self._store, key)

    @contextmanager
    def _faults_named(self, key: str) -> Iterator[None]:
        """Look once whether the bucket is there and lets us in; turn the library's errors into ours."""
        try:
            if not self._is_known_to_answer:
                self._knock()
            yield
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                self._is_known_to_answer = False
                raise UnavailableError(f"{self._where} is gone", "try again: it is made anew") from None
            raise DataError(f"there is no object {key!r} in {self._where}", "look at its name") from None
        except (BaseError, OSError) as error:
            raise self._named(error) from None
        except ValueError as error:
            raise DataError(f"{key!r} cannot be the key of an object: {_first_line(error)}", "choose another") from None

    def _knock(self) -> None:
        """Ask for a list, whose refusal has a text; that of :meth:`find` has none and looks like a missing object."""
        assert self._bucket is not None, "a folder needs no knock"  # noqa: S101
        try:
            next(iter(obstore.list(self._bucket.open(""), chunk_size=1)), None)
        except BaseError as error:
            if _code(error) != "NoSuchBucket":
                raise
            self._make_bucket(self._bucket)
        self._is_known_to_answer = True

    def _make_bucket(self, bucket: Bucket) -> None:
        try:
            reply, reason = ask_for_bucket(bucket, "PUT", MADE_WITHIN_S)
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self._where} cannot be made now: {type(error).__name__}", "try again") from None
        if reply.is_success or reason == "BucketAlreadyOwnedByYou":
            return
        if reply.is_server_error:
            raise UnavailableError(f"{self._where} cannot be made now: {reason}", "try again, or look into its log")
        raise ConfigurationError(
            f"{self._where} does not exist and cannot be made: {reason}",
            "make it, or name another in objects.bucket",
        )

    def _named(self, error: BaseError | OSError) -> QuantError:
        if self._bucket is None:
            return UnavailableError(
                f"objects in {self._where} cannot be read or written: {_first_line(error)}",
                "check the disk's free space and the folder's rights",
            )
        if _REFUSED.search(str(error)):
            return ConfigurationError(
                f"{self._where} refuses our keys ({_code(error) or 'no reason given'})",
                "correct objects.access_key_id and objects.secret_access_key, or what that key may do",
            )
        return UnavailableError(
            f"{self._where} cannot be reached or written: {_code(error) or _first_line(error)}",
            "start it, or correct objects.endpoint_url",
        )

    def _make_durable(self, key: str) -> None:
        """Have the disk know of a new file and of the folders to it; a bucket has done so when it answers."""
        if self._root is None:
            return
        for each in (Path(key), *Path(key).parents):
            descriptor = os.open(self._root / each, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _info(meta: "ObjectMeta") -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"])


def _code(error: Exception) -> str:
    """The S3 server's own word for what went wrong; empty where it sent none."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
