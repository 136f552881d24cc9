"""Redis with one password, and a log of every write that loses a second at most when the machine loses power."""

import os
from collections.abc import Mapping
from signal import SIGTERM

from redis import Redis as Client

from quant_platform.hosts.servers.processes import Launch
from quant_platform.hosts.servers.programs import program
from quant_platform.hosts.servers.server import ADDRESS, Place

_CONFIGURATION = """\
bind {address}
port {port}
requirepass {password}
dir {data}
save ""
appendonly yes
appendfsync everysec
"""


class Redis:
    """What it keeps may be lost without harm; kept, the last quotes are there again after a restart."""

    name = "redis"
    title = "Redis"
    usual_ports: Mapping[str, int] = {"redis": 6379}
    passwords: tuple[str, ...] = ("default",)
    stop_signal = SIGTERM

    def fetch(self) -> None:
        """Redis of the system."""
        program("redis-server", package="redis-server")

    def launch(self, place: Place) -> Launch:
        """Write its configuration, which holds the password and is for our eyes only."""
        place.data.mkdir(exist_ok=True)
        configuration = _CONFIGURATION.format(
            address=ADDRESS, port=place.ports["redis"], password=place.passwords["default"], data=f'"{place.data}"'
        )
        file = place.folder / "redis.conf"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(configuration)
        return Launch([str(program("redis-server", package="redis-server")), str(file)])

    def check(self, place: Place) -> None:
        """Ping it, which it answers once its data is loaded."""
        with Client(
            host=ADDRESS, port=place.ports["redis"], password=place.passwords["default"], socket_timeout=2
        ) as client:
            client.ping()

    def environment(self, place: Place) -> Mapping[str, str]:
        """One URL, the password in it."""
        return {"REDIS_URL": f"redis://:{place.passwords['default']}@{ADDRESS}:{place.ports['redis']}/0"}
