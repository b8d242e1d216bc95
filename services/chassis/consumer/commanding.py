"""A handler for events that ask for something: each event of a known type is one command.

Why: every event read gets a named outcome (S-25), and the commands of a batch are folded by one call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from services.chassis.consumer.apply import Handler
from services.chassis.db import Transaction
from services.chassis.inbox import IncomingEvent, Outcome, decode

C = TypeVar("C")


def commanding(
    translations: Mapping[str, Callable[[Any, str], C]],
    fold: Callable[[Transaction, Sequence[C]], Awaitable[Sequence[str]]],
) -> Handler:
    """The handler. `translations`: event type -> (message, event id) -> command; every other type is IGNORED.

    `fold` gets the commands in the order of their events and returns an outcome's name for each.
    """

    async def handle(tx: Transaction, events: Sequence[IncomingEvent]) -> Mapping[str, Outcome]:
        ours = [event for event in events if event.type in translations]
        outcomes = dict.fromkeys((event.id for event in events), Outcome.IGNORED)
        if ours:
            commands = [translations[event.type](decode(event), event.id) for event in ours]
            for event, outcome in zip(ours, await fold(tx, commands), strict=True):
                outcomes[event.id] = Outcome(outcome)
        return outcomes

    return handle
