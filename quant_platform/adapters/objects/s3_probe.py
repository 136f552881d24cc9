"""Look at a bucket without making it."""

import httpx

from quant_platform.adapters.objects.obstore import Bucket, Objects, ask_for_bucket
from quant_platform.domain.errors import ConfigurationError, UnavailableError
from quant_platform.ports.server_probes import BucketFound


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
        reply, reason = ask_for_bucket(bucket, "GET", within_s)
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"{where} cannot be reached: {type(error).__name__}", "start it, or correct objects.endpoint_url"
        ) from None
    if reply.status_code in {401, 403}:
        raise ConfigurationError(
            f"{where} refuses our keys ({reason})", "correct objects.access_key_id and objects.secret_access_key"
        )
    if reply.is_error and reason != "NoSuchBucket":
        raise UnavailableError(f"{where} does not answer as asked: {reason}", "look into its log")
    return BucketFound(reply.headers.get("server", ""), reply.is_success)
