"""Look at a bucket without making it."""

import re
from datetime import timedelta

import httpx
import obstore

from quant_platform.adapters.objects.obstore import Bucket, Objects
from quant_platform.domain.errors import ConfigurationError, UnavailableError
from quant_platform.ports.server_probes import BucketFound

_CODE = re.compile(r"<Code>(\w+)</Code>")
_SIGNATURE_LIVES = timedelta(minutes=5)


def probe_bucket(bucket: Bucket, within_s: float) -> BucketFound:
    """Ask an S3 server for a bucket.

    Args:
        bucket: where it is, and the keys to it.
        within_s: how long the question may take.

    Raises:
        UnavailableError: the server cannot be reached now.
        ConfigurationError: the address cannot be one, a key is missing, or the server refuses them.
    """
    where = Objects.in_bucket(bucket).where
    try:
        reply = httpx.get(obstore.sign(bucket.open(""), "GET", "", _SIGNATURE_LIVES), timeout=within_s, trust_env=False)
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"{where} cannot be reached: {type(error).__name__}", "start it, or correct objects.endpoint_url"
        ) from None
    code = _CODE.search(reply.text)
    reason = code[1] if code else f"HTTP {reply.status_code}"
    if reply.status_code in {401, 403}:
        raise ConfigurationError(
            f"{where} refuses our keys ({reason})", "correct objects.access_key_id and objects.secret_access_key"
        )
    if reply.is_error and reason != "NoSuchBucket":
        raise UnavailableError(f"{where} does not answer as asked: {reason}", "look into its log")
    return BucketFound(reply.headers.get("server", ""), reply.is_success)
