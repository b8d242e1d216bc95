"""The catalogue of events is complete and follows the code (R-5.3)."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.descriptor_pool import Default

from ops import catalogue
from ops.local.topics import SERVICES, topic_of
from services.chassis.outbox import outgoing

pytestmark = pytest.mark.requirement("R-5.3")

EVENTS = catalogue.read_events()


def test_the_document_is_up_to_date() -> None:
    catalogue.events(check=True)


def test_a_document_that_is_out_of_date_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "TARGET", tmp_path / "none.md")
    with pytest.raises(SystemExit):
        catalogue.events(check=True)


def test_every_message_of_the_events_files_is_an_event_or_a_part_of_one() -> None:
    named = {event.name for event in EVENTS}
    parts = {field.type.rpartition(".")[2] for event in EVENTS for field in event.fields}
    for service in SERVICES:
        module = __import__(f"onefold.{service}.v1.{service}_events_pb2", fromlist=["DESCRIPTOR"])
        assert set(module.DESCRIPTOR.message_types_by_name) <= named | parts


def test_every_event_has_a_cloudevents_type_that_readers_can_decode_and_a_topic() -> None:
    topics = {topic_of(service) for service in SERVICES}
    for event in EVENTS:
        descriptor = Default().FindMessageTypeByName(event.type)
        message = descriptor._concrete_class()  # type: ignore[attr-defined]
        assert (
            outgoing(message, key="k", now=datetime(2026, 3, 2, tzinfo=UTC)).type
            == event.type
            == f"{event.topic}.{event.name}"
        )
        assert event.topic in topics
    assert {event.topic for event in EVENTS} == topics


def test_every_event_field_and_value_is_explained() -> None:
    for event in EVENTS:
        assert event.comment and all(field.comment for field in event.fields), event.name
    for name, kind in catalogue.read_kinds().items():
        assert all(field.comment for field in kind.fields), name


def test_requests_are_read_by_the_service_that_their_comment_names() -> None:
    """`To inventory: ...` is read by inventory; returns belong to a later lane (S-21)."""
    for event in EVENTS:
        if event.comment.startswith("To "):
            addressee = event.comment.removeprefix("To ").partition(":")[0]
            if event.name != "ReturnRequested":
                assert addressee in event.readers, event.name


def test_answers_and_facts_of_the_others_are_read_by_orders_and_everything_by_analytics() -> None:
    for event in EVENTS:
        assert "analytics" in event.readers, event.name
        if event.producer == "orders":
            assert "orders" not in event.readers
    emails = {event.name for event in EVENTS if "emails" in event.readers}
    assert {"OrderProcessing", "OrderPaymentFailed", "OrderShipped", "OrderDelivered", "StockLow"} <= emails
    assert "OrderConfirmed" not in emails


def test_the_names_of_types_are_unique_for_they_are_links() -> None:
    text = catalogue.render(EVENTS, catalogue.read_kinds())
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    assert len(headings) == len(set(headings))
    targets = {heading.removeprefix("### ").lower() for heading in headings}
    assert all(link.partition(")")[0] in targets for link in text.split("](#")[1:])
