"""Kafka of the local stack: the real broker, and topics of each test's own."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError

from ops.local import jars, topics
from ops.local.child import LocalStackError
from ops.local.kafka import Kafka
from ops.local.ports import free_ports


async def test_an_event_comes_back_with_its_key_and_offset(kafka_bootstrap: str, topic_prefix: str) -> None:
    topic = topics.topic_of("orders", topic_prefix)
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, enable_idempotence=True)
    await producer.start()
    sent = await producer.send_and_wait(topic, b"placed", key=b"order-1")
    await producer.stop()
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=kafka_bootstrap, group_id=topic_prefix, auto_offset_reset="earliest"
    )
    await consumer.start()
    got = await consumer.getone()
    await consumer.stop()
    assert (got.key, got.value, got.partition, got.offset) == (b"order-1", b"placed", sent.partition, 0)


async def test_topics_have_eight_partitions_and_creating_them_again_is_nothing(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    await topics.create(kafka_bootstrap, topic_prefix)
    consumer = AIOKafkaConsumer(topics.topic_of("payments", topic_prefix), bootstrap_servers=kafka_bootstrap)
    await consumer.start()
    assert consumer.partitions_for_topic(topics.topic_of("payments", topic_prefix)) == set(range(8))
    await consumer.stop()


async def test_no_topic_is_created_by_accident(kafka_bootstrap: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, request_timeout_ms=500)
    await producer.start()
    with pytest.raises(UnknownTopicOrPartitionError):
        await producer.send_and_wait("never-created", b"x")
    await producer.stop()


def test_a_jar_with_another_sum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"kafka-{jars.VERSION}"
    folder.mkdir()
    (folder / "good.jar").write_bytes(b"good")
    sums = tmp_path / "kafka.sha256"
    sums.write_text(f"{hashlib.sha256(b'good').hexdigest()}  good.jar\n")
    monkeypatch.setattr(jars, "SUMS", sums)
    assert jars.kafka_jars(tmp_path) == [folder / "good.jar"]
    (folder / "good.jar").write_bytes(b"tampered")
    with pytest.raises(LocalStackError, match=r"good\.jar"):
        jars.kafka_jars(tmp_path)
    (folder / "good.jar").write_bytes(b"good")
    (folder / "added.jar").write_bytes(b"")
    with pytest.raises(LocalStackError, match=r"added\.jar"):
        jars.kafka_jars(tmp_path)


def test_a_download_that_hangs_is_tried_again_and_then_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    def hangs(*command: object, **options: object) -> None:
        tries.append(command)
        raise subprocess.TimeoutExpired("jgo", 1, stderr=b"still waiting")

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(LocalStackError, match=r"(?s)the download of Kafka took longer than .*still waiting"):
        jars.kafka_jars(tmp_path)
    assert len(tries) == jars.TRIES


@pytest.mark.serial
def test_it_runs_in_a_folder_of_any_name(tmp_path: Path) -> None:
    kafka = Kafka(tmp_path / "Grüße 東京 \\n \U0001f600", free_ports(1)[0], log=tmp_path / "kafka.log").start()
    kafka.stop()
    assert (kafka.home / "data" / "meta.properties").exists()
    kafka.start()
    kafka.purge()
