"""Between the messages of fulfillment_service.proto and the domain."""

from datetime import datetime

from onefold.common.v1 import common_pb2
from onefold.fulfillment.v1 import fulfillment_pb2, fulfillment_service_pb2

from services.chassis.messages import line_quantities, moment_of, timestamp
from services.fulfillment import domain
from services.fulfillment.providers.base import Malformed, Provider
from services.fulfillment.store.webhooks import StoredWebhook


def fulfillment_message(root: domain.Fulfillment, provider: str) -> fulfillment_pb2.Fulfillment:
    """The fulfilment as callers see it."""
    return fulfillment_pb2.Fulfillment(
        order_id=root.order_id,
        state=fulfillment_pb2.FulfillmentState.Value(f"FULFILLMENT_STATE_{root.state}"),
        version=root.version,
        provider=provider,
        provider_order_id=root.object_id,
        reason=root.reason,
        tries=root.tries,
        next_try_at=timestamp(root.next_try_at),
        shipments=[_shipment_message(shipment) for shipment in root.shipments],
        lines=line_quantities(root.lines),
    )


def webhook_of(message: fulfillment_service_pb2.Webhook, provider: Provider, now: datetime) -> StoredWebhook | None:
    """A webhook with what it hints at; None if it is none of the provider's."""
    try:
        hint = provider.read_hint(message.body)
    except Malformed:
        return None
    received_at = moment_of(message.received_at, "received_at") if message.HasField("received_at") else now
    return StoredWebhook(
        source=message.source,
        content_hash=hint.content_hash,
        type=hint.type,
        object_id=hint.object_id,
        external_id=hint.external_id,
        raw=message.body,
        received_at=received_at,
    )


def recipient_of(address: common_pb2.Address) -> dict[str, str]:
    """A corrected recipient, by the fields of `providers.base.Recipient`; the e-mail stays the order's."""
    return {
        "name": address.name,
        "line1": address.line1,
        "line2": address.line2,
        "city": address.city,
        "region": address.region,
        "postal_code": address.postal_code,
        "country_code": address.country_code,
        "phone": address.phone,
    }


def _shipment_message(shipment: domain.Shipment) -> fulfillment_pb2.Shipment:
    return fulfillment_pb2.Shipment(
        shipment_id=shipment.id,
        provider_shipment_id=shipment.provider_id,
        state=fulfillment_pb2.ShipmentState.Value(f"SHIPMENT_STATE_{shipment.state}"),
        carrier=shipment.carrier,
        tracking_number=shipment.tracking_number,
        tracking_url=shipment.tracking_url,
        sent_at=timestamp(shipment.sent_at),
        lines=line_quantities(shipment.lines),
    )
