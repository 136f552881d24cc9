"""Look at Kafka without changing it: brokers, topics, and how far every group is behind."""

from collections.abc import Iterator, Mapping

from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from quant_platform.adapters.bus.kafka_faults import named
from quant_platform.adapters.bus.kafka_reader import asker
from quant_platform.ports.server_probes import BusFound, GroupFound, TopicFound, lags_of

Place = tuple[str, int]


def probe_kafka(servers: str, within_s: float) -> BusFound:
    """Ask the cluster about itself.

    Args:
        servers: bootstrap servers.
        within_s: how long each question may take.

    Raises:
        UnavailableError: Kafka cannot be reached.
        ConfigurationError: it refuses us.
    """
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    with named(servers):
        seen = admin.list_topics(timeout=within_s)
        ours = {name: len(topic.partitions) for name, topic in seen.topics.items() if not name.startswith("__")}
        topics = _topics(admin, ours, within_s)
        ends = _ends(admin, ours, within_s)
        return BusFound(
            len(seen.brokers), seen.cluster_id or "", topics, ends, list(_groups(admin, servers, ends, within_s))
        )


def _topics(admin: AdminClient, partitions: Mapping[str, int], within_s: float) -> dict[str, TopicFound]:
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in partitions]
    found = {}
    for resource, future in admin.describe_configs(asked, request_timeout=within_s).items() if asked else ():
        config = future.result()
        found[resource.name] = TopicFound(
            partitions[resource.name],
            int(config["retention.ms"].value),
            "compact" in config["cleanup.policy"].value.split(","),
        )
    return found


def _ends(admin: AdminClient, partitions: Mapping[str, int], within_s: float) -> dict[Place, int]:
    places = [TopicPartition(name, number) for name, count in partitions.items() for number in range(count)]
    newest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets(dict.fromkeys(places, newest), request_timeout=within_s) if places else {}
    return {(place.topic, place.partition): future.result().offset for place, future in asked.items()}


def _groups(admin: AdminClient, servers: str, ends: Mapping[Place, int], within_s: float) -> Iterator[GroupFound]:
    places = [TopicPartition(topic, number) for topic, number in ends]
    for group in sorted(each.group_id for each in admin.list_consumer_groups(request_timeout=within_s).result().valid):
        client = asker(servers, group)
        try:
            found = client.committed(places, timeout=within_s)
        finally:
            client.close()
        offsets = {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}
        yield from lags_of(group, offsets, ends)
