"""The contract of an object store, on a folder and on a real S3 server; and what a store says when it cannot."""

import io
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quant_platform.adapters.objects.obstore import PART_BYTES, Bucket, Objects
from quant_platform.domain.errors import ConfigurationError, DataError, QuantError, UnavailableError
from tests.servers import RealServer

BIG = 2 * PART_BYTES + 12_345


@pytest.fixture
def bucket(s3: RealServer) -> Bucket:
    """A bucket that does not exist yet."""
    s3.start()
    wanted = s3.settings.objects
    assert wanted.endpoint_url
    assert wanted.access_key_id
    assert wanted.secret_access_key
    return Bucket(
        wanted.endpoint_url,
        f"test-{secrets.token_hex(6)}",
        wanted.access_key_id.get_secret_value(),
        wanted.secret_access_key.get_secret_value(),
    )


@pytest.fixture(params=["folder", "bucket", "folder in a bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return Objects.in_folder(tmp_path / "deep" / "objects")
    made: Bucket = request.getfixturevalue("bucket")
    return Objects.in_bucket(made if request.param == "bucket" else replace(made, prefix="mine/own"))


def content(objects: Objects, key: str) -> bytes:
    target = io.BytesIO()
    objects.get(key, target)
    return target.getvalue()


def test_an_object_comes_back_as_it_was_put(objects: Objects) -> None:
    key = "ticks/date=2026-07-31/NSE_EQ:M&M été.parquet"
    objects.put(key, io.BytesIO(b"first"))
    found = objects.find(key)
    assert found is not None
    assert (found.key, found.size) == (key, 5)
    assert datetime.now(UTC) - found.modified < timedelta(minutes=10)
    objects.put(key, io.BytesIO(b"second, longer"))
    again = objects.find(key)
    assert again is not None
    assert again.etag != found.etag
    assert content(objects, key) == b"second, longer"


def test_a_large_object_travels_in_parts(objects: Objects, tmp_path: Path) -> None:
    original = secrets.token_bytes(BIG)
    (tmp_path / "big").write_bytes(original)
    with (tmp_path / "big").open("rb") as source:
        objects.put("big", source)
    with (tmp_path / "copy").open("wb") as target:
        objects.get("big", target)
    assert (tmp_path / "copy").read_bytes() == original
    found = objects.find("big")
    assert found is not None
    assert found.size == BIG


def test_an_empty_object_is_an_object(objects: Objects) -> None:
    objects.put("a/nothing", io.BytesIO())
    assert content(objects, "a/nothing") == b""
    assert [found.size for found in objects.list("a")] == [0]


def test_of_two_who_put_if_absent_one_succeeds(objects: Objects) -> None:
    assert objects.put_if_absent("once", b"mine")
    assert not objects.put_if_absent("once", b"yours")
    assert content(objects, "once") == b"mine"


def test_a_folder_is_listed_with_all_below_and_nothing_beside(objects: Objects) -> None:
    assert list(objects.list()) == []
    keys = {"a/1", "a/b/2", "ab/3", "a.txt"}
    for key in keys:
        objects.put(key, io.BytesIO(key.encode()))
    assert {found.key for found in objects.list()} == keys
    assert {found.key for found in objects.list("a")} == {"a/1", "a/b/2"}
    assert list(objects.list("nowhere")) == []


def test_a_list_longer_than_an_answer_is_whole(objects: Objects) -> None:
    for number in range(1005):
        objects.put(f"many/{number:04d}", io.BytesIO(b"x"))
    assert sum(1 for _ in objects.list("many")) == 1005


def test_what_is_deleted_is_gone_and_may_be_deleted_again(objects: Objects) -> None:
    for key in ("x/1", "x/2", "y"):
        objects.put(key, io.BytesIO(b"x"))
    objects.delete(["x/1", "never there", "x/2"])
    objects.delete(["x/1"])
    assert objects.find("x/1") is None
    assert [found.key for found in objects.list()] == ["y"]


def test_a_missing_object_is_named(objects: Objects) -> None:
    assert objects.find("backups/nothing") is None
    with pytest.raises(DataError, match=r"there is no object 'backups/nothing' in (folder|bucket) "):
        objects.get("backups/nothing", io.BytesIO())


@pytest.mark.parametrize("key", ["../outside", "a//b", "a/../../b"])
def test_a_key_that_leaves_the_store_is_refused(objects: Objects, key: str) -> None:
    with pytest.raises(DataError, match="cannot be the key of an object"):
        objects.put(key, io.BytesIO(b"x"))


# What a store says when it cannot.

CALLS: list[Callable[[Objects], object]] = [
    lambda objects: objects.put("a", io.BytesIO(b"x")),
    lambda objects: objects.put_if_absent("a", b"x"),
    lambda objects: objects.get("a", io.BytesIO()),
    lambda objects: objects.find("a"),
    lambda objects: list(objects.list("a")),
    lambda objects: objects.delete(["a"]),
]


def failure(call: Callable[[Objects], object], objects: Objects) -> QuantError:
    with pytest.raises(QuantError) as raised:
        call(objects)
    return raised.value


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
def test_wrong_keys_are_named_by_their_setting_and_not_shown(
    bucket: Bucket, wrong: str, call: Callable[[Objects], object]
) -> None:
    Objects.in_bucket(bucket).put("a", io.BytesIO(b"x"))
    error = failure(call, Objects.in_bucket(replace(bucket, **{wrong: "not-this-one"})))
    assert isinstance(error, ConfigurationError)
    assert "objects.access_key_id and objects.secret_access_key" in str(error)
    assert not any(secret in str(error) for secret in (bucket.secret_access_key, "not-this-one"))


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_away_is_unavailable(bucket: Bucket, call: Callable[[Objects], object]) -> None:
    away = Objects.in_bucket(replace(bucket, endpoint_url="http://127.0.0.1:9"))
    error = failure(call, away)
    assert isinstance(error, UnavailableError)
    assert "at http://127.0.0.1:9 cannot be reached" in str(error)


def test_a_bucket_that_vanished_is_made_anew(bucket: Bucket) -> None:
    objects = Objects.in_bucket(bucket)
    objects.put("a", io.BytesIO(b"x"))
    objects.delete(["a"])
    remove_bucket(bucket)
    with pytest.raises(UnavailableError, match="is gone — try again"):
        objects.put("a", io.BytesIO(b"x"))
    objects.put("a", io.BytesIO(b"y"))
    assert content(objects, "a") == b"y"


class Starting(BaseHTTPRequestHandler):
    """A server without the bucket that cannot make one yet, as a real one is for a moment after its start."""

    def do_GET(self) -> None:
        self._refuse(404, b"<Error><Code>NoSuchBucket</Code></Error>")

    def do_PUT(self) -> None:
        self._refuse(503, b"<Error><Code>XMinioServerNotInitialized</Code></Error>")

    def _refuse(self, status: int, why: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(why)))
        self.end_headers()
        self.wfile.write(why)

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


def test_a_bucket_that_cannot_be_made_yet_is_waited_for() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Starting) as server:
        threading.Thread(target=server.serve_forever).start()
        objects = Objects.in_bucket(Bucket(f"http://127.0.0.1:{server.server_port}", "b", "key", "secret"))
        error = failure(lambda store: store.find("a"), objects)
        server.shutdown()
    assert isinstance(error, UnavailableError)
    assert "cannot be made now: XMinioServerNotInitialized" in str(error)


def remove_bucket(bucket: Bucket) -> None:
    import httpx
    import obstore

    reply = httpx.delete(obstore.sign(bucket.open(""), "DELETE", "", timedelta(minutes=1)))
    assert reply.is_success, reply.text


def test_the_environment_of_other_aws_tools_does_not_redirect_us(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    monkeypatch.setenv("AWS_BUCKET", "another")
    objects = Objects.in_bucket(bucket)
    objects.put("a", io.BytesIO(b"x"))
    assert content(objects, "a") == b"x"


def test_an_address_that_is_none_and_missing_keys_name_their_settings() -> None:
    sound = Bucket("http://127.0.0.1:9000", "b", "key", "secret")
    for url in ("127.0.0.1:9000", "ftp://host", "http://", "http://user:hidden@host"):
        with pytest.raises(ConfigurationError, match=r"objects\.endpoint_url") as raised:
            Objects.in_bucket(replace(sound, endpoint_url=url))
        assert "hidden" not in str(raised.value)
    for setting in ("access_key_id", "secret_access_key"):
        with pytest.raises(ConfigurationError, match=rf"objects\.{setting} is missing"):
            Objects.in_bucket(replace(sound, **{setting: ""}))
    assert "secret" not in repr(sound)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file/below cannot be made: Not a directory — name another one"):
        Objects.in_folder(tmp_path / "file" / "below")
    objects = Objects.in_folder(tmp_path)
    with pytest.raises(UnavailableError, match=r"cannot be read or written: .* — check the disk's free space"):
        objects.put("file/below", io.BytesIO(b"x"))
