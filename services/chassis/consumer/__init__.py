"""Consuming events: one transaction per batch, offsets afterwards; keys that cannot go on are parked.

Why: a batch is applied as a whole or not at all, and a poison event holds up its own key and no other (S-25 to S-27).
"""

from services.chassis.consumer.apply import Handler, MissingOutcome, TooManyParked
from services.chassis.consumer.commanding import commanding
from services.chassis.consumer.loop import Consumer, Stalled
from services.chassis.consumer.parked import ParkedEvent, ParkedKey, discard, inspect, list_parked
from services.chassis.consumer.parking import KEY_PARKED, parked_keys, parked_since
from services.chassis.consumer.redrive import Redriven, redrive

__all__ = [
    "KEY_PARKED",
    "Consumer",
    "Handler",
    "MissingOutcome",
    "ParkedEvent",
    "ParkedKey",
    "Redriven",
    "Stalled",
    "TooManyParked",
    "commanding",
    "discard",
    "inspect",
    "list_parked",
    "parked_keys",
    "parked_since",
    "redrive",
]
