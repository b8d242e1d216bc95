"""The outbox: events are appended in the transaction that makes them true, and a relay publishes them.

Why: a fact and its announcement commit together or not at all, and one order's events keep their order.
"""

from services.chassis.outbox.events import OutgoingEvent, append, outgoing
from services.chassis.outbox.relay import Relay

__all__ = ["OutgoingEvent", "Relay", "append", "outgoing"]
