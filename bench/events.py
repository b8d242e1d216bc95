"""Events for the benchmarks of outbox and inbox: real ones, as an order's placing writes them.

Why: what a broker or a table carries per event decides what it can do, so no side gets smaller ones.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from onefold.common.v1 import common_pb2
from onefold.orders.v1 import orders_events_pb2

from bench.stamp import stamp
from services.chassis.ids import new_id, new_order_number

TYPE: Final = orders_events_pb2.OrderCreated.DESCRIPTOR.full_name
PACKAGE: Final = TYPE.rpartition(".")[0]
FILL: Final = """
INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, occurred_at)
SELECT gen_random_uuid(), $1, lpad(to_hex(g), 8, '0') || '-0000-7000-8000-000000000000', $2, $3, now()
  FROM generate_series(1, $4::int) g
"""


def order_created(order_id: str = "") -> orders_events_pb2.OrderCreated:
    """An order of two lines."""
    now = datetime.now(UTC)
    return orders_events_pb2.OrderCreated(
        context=common_pb2.EventContext(
            order_id=order_id or new_id(), version=1, occurred_at=stamp(now), caused_by=new_id()
        ),
        number=new_order_number(),
        reservation=1,
        lines=[common_pb2.LineQuantity(line=line, sku=f"sku-{line}", quantity=1) for line in (1, 2)],
        total=common_pb2.Money(amount_minor=2_895, currency="GBP"),
        payable_until=stamp(now + timedelta(minutes=30)),
    )
