"""Kafka as every side uses it: acks=all, idempotent, earliest, offsets committed by hand.

Why: aiokafka's defaults are unsafe (F-34), and a rival that may lose events would be fast for no merit.
"""

from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PARTITIONS: Final = 8
BATCH_BYTES: Final = 900_000


def producer(bootstrap: str) -> AIOKafkaProducer:
    """Not started yet."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, max_batch_size=BATCH_BYTES
    )


def consumer(bootstrap: str, topic: str, group: str, at_once: int) -> AIOKafkaConsumer:
    """Not started yet."""
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=at_once,
    )


async def ends(bootstrap: str, topic: str) -> int:
    """How many records a topic has had."""
    kafka = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await kafka.start()
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return int(sum((await kafka.end_offsets(places)).values()))
    finally:
        await kafka.stop()


async def new_topic(bootstrap: str, topic: str) -> None:
    """Make a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)], timeout_ms=10_000)
    finally:
        await admin.close()
