"""Apache Kafka as a single node that is broker and controller (KRaft)."""

import base64
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

from confluent_kafka.admin import AdminClient

from quant_platform.domain.errors import UnavailableError
from quant_platform.hosts.servers.processes import Launch
from quant_platform.hosts.servers.programs import NATIVE, jars, java, run_or_explain, versions
from quant_platform.hosts.servers.server import ADDRESS, Place

_UNNOTED = "4.3.1"
"""The version that formatted data beside which none is noted."""
_JAVA = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
_SHORT_LIVED = "-XX:TieredStopAtLevel=1"
"""Java's first compiler alone: a tool is over before the second one's code is worth its making. A broker is not."""
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{address}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{address}:{broker},CONTROLLER://{address}:{controller}
advertised.listeners=PLAINTEXT://{address}:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
# Clients of one machine: more threads only take turns, at up to a quarter of the broker's time.
num.network.threads=1
num.io.threads=2
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
# A killed broker is let in again when its old session is over: 9 s by default.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


class Kafka:
    """Topics are made by whoever owns them: none appears by being named."""

    name = "kafka"
    title = "Kafka"
    usual_ports: Mapping[str, int] = {"broker": 9092, "controller": 9093}
    passwords: tuple[str, ...] = ()
    stop_signal = SIGTERM

    def fetch(self) -> None:
        """Java of the system, and Kafka's jars."""
        java()
        jars("kafka")

    def launch(self, place: Place) -> Launch:
        """Write its properties, and format its data where there is none.

        Raises:
            UnavailableError: a later version made the data, which an earlier one cannot read.
        """
        logging = f"-Dlog4j2.configurationFile={NATIVE / 'kafka-log4j2.properties'}"
        run = [str(java()), logging, *_JAVA, "-cp", f"{jars('kafka')}/*"]
        properties = place.folder / "server.properties"
        properties.write_text(_PROPERTIES.format(address=ADDRESS, data=place.data, **place.ports), "utf-8")
        formatted_by = place.folder / "formatted-by"
        if (place.data / "meta.properties").exists():
            _refuse_later(place.data, formatted_by.read_text("utf-8") if formatted_by.exists() else _UNNOTED)
        else:
            formatted_by.write_text(versions()["kafka"], "utf-8")  # first: data without it would be an older one's
            _format(run, properties, place.data)
        return Launch([*run, "kafka.Kafka", str(properties)])

    def check(self, place: Place) -> None:
        """Ask for the cluster's metadata."""
        AdminClient({"bootstrap.servers": f"{ADDRESS}:{place.ports['broker']}", "log_level": 0}).list_topics(timeout=2)

    def environment(self, place: Place) -> Mapping[str, str]:
        """Where clients begin."""
        return {"KAFKA_BOOTSTRAP_SERVERS": f"{ADDRESS}:{place.ports['broker']}"}


def _refuse_later(data: Path, version: str) -> None:
    ours = versions()["kafka"]
    if _parts(version) > _parts(ours):
        raise UnavailableError(
            f"Kafka {version} made {data}, which Kafka {ours} cannot read",
            "have it made anew: quant servers down kafka --purge. Topics hold what is under way; the ledger stays",
        )


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _format(run: list[str], properties: Path, data: Path) -> None:
    shutil.rmtree(data, ignore_errors=True)
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One in 64 begins with a dash, and would be taken for an option if it stood by itself.
    tool = [run[0], _SHORT_LIVED, *run[1:], "kafka.tools.StorageTool", "format"]
    command = [*tool, f"--cluster-id={cluster}", "--config", str(properties)]
    run_or_explain(command, f"Kafka could not format {data}", "look at the disk's space and rights")
