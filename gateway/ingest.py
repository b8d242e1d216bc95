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
# Batches under way at once: while the service writes one, it reads the next.
LANES = 2
LANE_SIZE = 128
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


Call = Callable[[Sequence[ReceivedWebhook]], Awaitable[Sequence[Verdict]]]
Flush = Callable[[Sequence[ReceivedWebhook]], Awaitable[Sequence[Verdict | DomainError]]]


class Ingest:
    """Hands webhooks over in batches, `LANES` of them at once; the order between two webhooks is nobody's promise."""

    def __init__(self, flush: Flush, name: str) -> None:
        self._lanes = [Batcher[ReceivedWebhook, Verdict](flush, name=f"{name}_{lane}") for lane in range(LANES)]
        self._inside = [0] * LANES

    async def submit(self, webhook: ReceivedWebhook) -> Verdict:
        """What became of one webhook. Raises its DomainError, Overloaded, DependencyUnavailable."""
        lane = self._lane()
        self._inside[lane] += 1
        try:
            return await self._lanes[lane].submit(webhook)
        finally:
            self._inside[lane] -= 1

    async def close(self) -> None:
        """Take no more webhooks, finish those that wait."""
        for lane in self._lanes:
            await lane.close()

    def _lane(self) -> int:
        """The first that has room: a lane more is worth its commits only if there is enough for both."""
        for lane, inside in enumerate(self._inside):
            if inside < LANE_SIZE:
                return lane
        return self._inside.index(min(self._inside))


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

    return _ingest(call, "payments_ingest")


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

    return _ingest(call, "fulfillment_ingest")


def _ingest(call: Call, name: str) -> Ingest:
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

    return Ingest(flush, name)


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
