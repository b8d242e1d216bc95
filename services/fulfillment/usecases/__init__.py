"""What fulfillment can be asked for: functions that take a transaction and a list of steps.

Why: calls, events, answers and time lead to the same decision, and each costs a fixed number of statements (DESIGN 3).
"""

from services.fulfillment.usecases.calls import provider_calls
from services.fulfillment.usecases.decisions import CONSUMER, QUEUED, Context, Step, apply
from services.fulfillment.usecases.errors import NotFulfilled, TooLate
from services.fulfillment.usecases.preparing import OrderReader, prepare
from services.fulfillment.usecases.watching import HINTED, Looks, apply_hints, take_in, watch

__all__ = [
    "CONSUMER",
    "HINTED",
    "QUEUED",
    "Context",
    "Looks",
    "NotFulfilled",
    "OrderReader",
    "Step",
    "TooLate",
    "apply",
    "apply_hints",
    "prepare",
    "provider_calls",
    "take_in",
    "watch",
]
