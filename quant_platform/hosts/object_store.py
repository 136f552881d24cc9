"""Which object store stands behind the settings: a bucket where an endpoint is named, else a folder of the home."""

from quant_platform.adapters.objects.obstore import Bucket, Objects
from quant_platform.hosts.config import Settings
from quant_platform.hosts.home import HomeFolder


def open_objects(settings: Settings, home: HomeFolder) -> Objects:
    """The store of the settings, or of the home.

    Raises:
        ConfigurationError: the address cannot be one, or a key is missing.
        UnavailableError: the folder cannot be made.
    """
    bucket = bucket_of(settings)
    return Objects.in_folder(home.objects) if bucket is None else Objects.in_bucket(bucket)


def bucket_of(settings: Settings) -> Bucket | None:
    """The bucket that the settings name; None where they name none."""
    wanted = settings.objects
    if wanted.endpoint_url is None:
        return None
    key_id, secret = wanted.access_key_id, wanted.secret_access_key
    return Bucket(
        wanted.endpoint_url,
        wanted.bucket,
        key_id.get_secret_value() if key_id else "",
        secret.get_secret_value() if secret else "",
    )
