"""Hand-over of authentic webhooks to their service in batches, because one commit can carry 256 of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import grpc
from onefold.fulfillment.v1 import fulfillment_service_pb2 as fulfillment
from onefold.fulfillment.v1.fulfillment_service_pb2_grpc import FulfillmentServiceStub
from onefold.payments.v1 import payments_service_pb2 as payments
from onefold.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub

from services.chassis.batch import Batcher
from services.chassis.errors import DomainError, from_rpc_error
from services.chassis.messages import timestamp

# A service takes 4 MiB a message; the rest is head-room for what surrounds the bodies.
MAX_CALL_BYTES = 3 * 1024 * 1024
# Razorpay waits 5 seconds (F-14), the others longer; our answer must come before that, whatever it is.
TIMEOUT_SECONDS = 4.0
FLUSHES = 2  # while the service writes one batch, it reads the next; the order between two webhooks is nobody's promise
# Codes that say nothing about the service: one webhook of the call may be what it stumbled over.
FAULTS_OF_ONE = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INVALID_ARGUMENT)


class Verdict(Enum):
    """What the gateway needs to know about one webhook."""

    TAKEN = "taken"  # committed: applied now, applied before, stored for later or for a person
    MALFORMED = "malformed"  # authentic, but no event of that provider; nothing was stored
    FAILED = "failed"  # recorded as failed; the provider has to deliver it again


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """One authentic webhook: who sent it, its raw bytes, when it came (UTC)."""

    source: str
    body: bytes
    received_at: datetime


Ingest = Batcher[ReceivedWebhook, Verdict]
Call = Callable[[Sequence[ReceivedWebhook]], Awaitable[Sequence[Verdict]]]


def payments_ingest(channel: grpc.aio.Channel) -> Ingest:
    """Batches to Payments.IngestWebhooks."""
    stub = PaymentsServiceStub(channel)

    async def call(webhooks: Sequence[ReceivedWebhook]) -> list[Verdict]:
        items = [payments.Webhook(source=w.source, body=w.body, received_at=timestamp(w.received_at)) for w in webhooks]
        answer = await stub.IngestWebhooks(payments.IngestWebhooksRequest(webhooks=items), timeout=TIMEOUT_SECONDS)
        verdicts = {
            payments.WEBHOOK_OUTCOME_FAILED: Verdict.FAILED,
            payments.WEBHOOK_OUTCOME_UNSPECIFIED: Verdict.FAILED,
            payments.WEBHOOK_OUTCOME_MALFORMED: Verdict.MALFORMED,
        }
        return [verdicts.get(result.outcome, Verdict.TAKEN) for result in answer.results]

    return _batcher(call, "payments_ingest")


def fulfillment_ingest(channel: grpc.aio.Channel) -> Ingest:
    """Batches to Fulfillment.IngestWebhooks."""
    stub = FulfillmentServiceStub(channel)

    async def call(webhooks: Sequence[ReceivedWebhook]) -> list[Verdict]:
        items = [
            fulfillment.Webhook(source=w.source, body=w.body, received_at=timestamp(w.received_at)) for w in webhooks
        ]
        request = fulfillment.IngestWebhooksRequest(webhooks=items)
        answer = await stub.IngestWebhooks(request, timeout=TIMEOUT_SECONDS)
        verdicts = {
            fulfillment.WEBHOOK_OUTCOME_STORED: Verdict.TAKEN,
            fulfillment.WEBHOOK_OUTCOME_DUPLICATE: Verdict.TAKEN,
            fulfillment.WEBHOOK_OUTCOME_MALFORMED: Verdict.MALFORMED,
        }
        return [verdicts.get(outcome, Verdict.FAILED) for outcome in answer.outcomes]

    return _batcher(call, "fulfillment_ingest")


def _batcher(call: Call, name: str) -> Ingest:
    async def flush(webhooks: Sequence[ReceivedWebhook]) -> list[Verdict | DomainError]:
        verdicts: list[Verdict | DomainError] = []
        for part in split_by_bytes(webhooks):
            try:
                verdicts.extend(await call(part))
            except grpc.aio.AioRpcError as error:
                if len(webhooks) > 1 and error.code() in FAULTS_OF_ONE:
                    raise  # each is handed over alone, so that only the bad one fails
                # Answered at once: the provider's next delivery is the retry.
                verdicts.extend([from_rpc_error(error)] * len(part))
        return verdicts

    return Batcher(flush, name=name, flushes=FLUSHES)


def split_by_bytes(webhooks: Sequence[ReceivedWebhook]) -> list[list[ReceivedWebhook]]:
    """Consecutive parts of at most MAX_CALL_BYTES of bodies; a larger body is a part of its own."""
    parts: list[list[ReceivedWebhook]] = []
    size = MAX_CALL_BYTES + 1
    for webhook in webhooks:
        size += len(webhook.body)
        if size > MAX_CALL_BYTES:
            parts.append([])
            size = len(webhook.body)
        parts[-1].append(webhook)
    return parts
