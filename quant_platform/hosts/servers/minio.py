"""MinIO, an S3 server: the bucket is made by whoever writes to it first."""

from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

import httpx

from quant_platform.hosts.servers.processes import Launch
from quant_platform.hosts.servers.programs import built_by_go
from quant_platform.hosts.servers.server import ADDRESS, Place

BUCKET = "quant-platform"
_KEY = "quant"


class Minio:
    """One disk, no browser console, no call to anywhere."""

    name = "minio"
    title = "MinIO"
    usual_ports: Mapping[str, int] = {"s3": 9002}  # its own, 9000, is QuestDB's
    passwords: tuple[str, ...] = ("secret",)
    stop_signal = SIGTERM

    def fetch(self) -> None:
        """MinIO, compiled at the first time."""
        _program()

    def launch(self, place: Place) -> Launch:
        """MinIO makes its data itself."""
        environment = {
            "MINIO_ROOT_USER": _KEY,
            "MINIO_ROOT_PASSWORD": place.passwords["secret"],
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
        command = [str(_program()), "server", "--address", f"{ADDRESS}:{place.ports['s3']}"]
        return Launch([*command, str(place.data)], environment)

    def check(self, place: Place) -> None:
        """Ask whether it can write."""
        httpx.get(f"http://{ADDRESS}:{place.ports['s3']}/minio/health/cluster", timeout=2).raise_for_status()

    def environment(self, place: Place) -> Mapping[str, str]:
        """Endpoint, bucket and keys."""
        return {
            "S3_ENDPOINT_URL": f"http://{ADDRESS}:{place.ports['s3']}",
            "S3_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": place.passwords["secret"],
        }


def _program() -> Path:
    return built_by_go("minio", "github.com/minio/minio")
