"""A call whose effect is one transaction, and which counts once.

Why: a caller that got no answer repeats its call with the same request id and gets the stored one (R-2.13, S-29).
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from services.chassis import idempotency
from services.chassis.db import Database, Transaction
from services.chassis.grpc_server.calls import Context, caller_of

M = TypeVar("M", bound=Message)


async def answer_once(
    database: Database,
    request: Any,
    context: Context,
    response: type[M],
    effect: Callable[[Transaction], Awaitable[M]],
    *,
    subject: str = "",
) -> M:
    """Run `effect` in one transaction with the request's key; a repeated request gets the stored answer.

    `request` is a message with a `request_id`, `subject` the id of what it is about. Raises RequestIdReused.
    """
    claimed = idempotency.Request(
        caller=caller_of(context),
        method=type(request).__name__,
        request_id=request.request_id,
        body_hash=idempotency.hash_body(request),
        subject=subject,
    )
    answer = await database.run(lambda tx: idempotency.once(tx, claimed, lambda: effect(tx)))
    return response.FromString(answer)
