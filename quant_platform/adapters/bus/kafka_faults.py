"""Kafka's errors as the platform's: what cannot be reached is waited for, whatever the client calls it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from quant_platform.domain.errors import ConfigurationError, UnavailableError

LOG = logging.getLogger("kafka")
"""Takes what the client would print to standard error by itself, past everybody's log."""

ASK_WITHIN_S = 10.0
"""How long a question to the cluster may take."""

_NOT_ALLOWED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)


def unavailable(what: str, error: KafkaException | KafkaError, servers: str) -> UnavailableError:
    """The error that a service waits on."""
    reason = error.args[0] if isinstance(error, KafkaException) else error
    return UnavailableError(
        f"{what}: {reason.str()} (Kafka at {servers})", "see whether Kafka runs there; KAFKA_BOOTSTRAP_SERVERS names it"
    )


def not_there(topic: str) -> UnavailableError:
    """The error of a topic that somebody else makes."""
    return UnavailableError(f"topic {topic} is not there yet", "start the service that writes it")


@contextmanager
def named(servers: str) -> Iterator[None]:
    """Turn a client's error into ours.

    Raises:
        UnavailableError: Kafka cannot be reached, or cannot do it now.
        ConfigurationError: it will never allow it.
    """
    try:
        yield
    except KafkaException as error:
        reason: KafkaError = error.args[0]
        if reason.code() in _NOT_ALLOWED:
            raise ConfigurationError(
                f"Kafka at {servers} refuses this client: {reason.str()}",
                "check kafka.bootstrap_servers and its rights",
            ) from None
        raise unavailable("Kafka does not answer as asked", error, servers) from None
    except SystemError as error:
        # So ends a fatal error that confluent-kafka 2.16 raises while it calls back about a record that failed by it.
        if not isinstance(error.__cause__, KafkaException):
            raise
        raise unavailable("Kafka's client cannot go on", error.__cause__, servers) from None
