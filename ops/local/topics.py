"""The Kafka topics of the services.

Why: nothing creates a topic by accident (auto-creation is off), and the number of partitions never changes, because
the order of events per key depends on it (S-24).
"""

from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

SERVICES: Final = ("orders", "payments", "inventory", "fulfillment")
PARTITIONS: Final = 8


def topic_of(service: str, prefix: str = "") -> str:
    """`onefold.orders.v1`, with the prefix of a test in front."""
    return f"{prefix}onefold.{service}.v1"


async def create(bootstrap: str, prefix: str = "", *, partitions: int = PARTITIONS) -> list[str]:
    """Create the four topics where they are missing; returns their names."""
    names = [topic_of(service, prefix) for service in SERVICES]
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = [NewTopic(name, num_partitions=partitions, replication_factor=1) for name in names]
        answer = await admin.create_topics(wanted, timeout_ms=10_000)
    finally:
        await admin.close()
    for topic, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(topic)
    return names


async def delete(bootstrap: str, prefix: str) -> None:
    """Delete the four topics below `prefix`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic_of(service, prefix) for service in SERVICES], timeout_ms=10_000)
    finally:
        await admin.close()
