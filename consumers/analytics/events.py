"""What analytics reads: every event of every topic. It names no types, because new ones are kept like all others."""

from typing import Final

from onefold.fulfillment.v1 import fulfillment_events_pb2
from onefold.inventory.v1 import inventory_events_pb2
from onefold.orders.v1 import orders_events_pb2
from onefold.payments.v1 import payments_events_pb2

CONSUMER: Final = "analytics"
# Importing the modules makes their types known to `decode`.
TOPICS: Final = tuple(
    module.DESCRIPTOR.package
    for module in (orders_events_pb2, payments_events_pb2, inventory_events_pb2, fulfillment_events_pb2)
)
