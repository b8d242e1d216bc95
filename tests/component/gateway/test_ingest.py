"""Webhooks on their way to a service, over real gRPC."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from onefold.fulfillment.v1 import fulfillment_service_pb2 as service_pb2
from onefold.fulfillment.v1 import fulfillment_service_pb2_grpc as service_grpc

from gateway.ingest import ReceivedWebhook, Verdict, fulfillment_ingest
from services.chassis.config import ServiceSettings
from services.chassis.errors import DomainError
from services.chassis.grpc_server import Context
from services.chassis.testing import serving, settings_for

NOW = datetime(2026, 11, 21, tzinfo=UTC)
POISON = b'{"poison": 1}'


class Fulfillment(service_grpc.FulfillmentServiceServicer):
    """Stumbles over one body."""

    async def IngestWebhooks(
        self, request: service_pb2.IngestWebhooksRequest, context: Context
    ) -> service_pb2.IngestWebhooksResponse:
        if any(webhook.body == POISON for webhook in request.webhooks):
            raise RuntimeError
        outcomes = [service_pb2.WEBHOOK_OUTCOME_STORED] * len(request.webhooks)
        return service_pb2.IngestWebhooksResponse(outcomes=outcomes)


@pytest.mark.requirement("R-5.6", "R-1.3")
async def test_a_webhook_that_the_service_stumbles_over_takes_no_other_along() -> None:
    add: Any = service_grpc.add_FulfillmentServiceServicer_to_server
    bodies = [b'{"n": 1}', POISON, b'{"n": 2}']
    servicers = {add: Fulfillment()}  # type: ignore[abstract]
    async with serving(settings_for(ServiceSettings), servicers) as channel:
        ingest = fulfillment_ingest(channel)
        submitted = (ingest.submit(ReceivedWebhook("printful", body, NOW)) for body in bodies)
        first, poison, last = await asyncio.gather(*submitted, return_exceptions=True)
        await ingest.close()
    assert (first, last) == (Verdict.TAKEN, Verdict.TAKEN)
    assert isinstance(poison, DomainError)
