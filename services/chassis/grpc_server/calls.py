"""One call: who makes it, and until when they wait.

Why: a handler asks for these by name, and nothing else of gRPC's context is needed by the code behind the door.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import grpc.aio

from services.chassis.errors import DomainError, Unauthenticated
from services.chassis.telemetry import get_logger

P = ParamSpec("P")
T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
Identify = Callable[[Context, Mapping[str, str | bytes]], str]  # the call, its metadata -> the caller's name
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What the door found out about a call."""

    caller: str
    deadline: float


NOBODY = Call("", 0.0)
current_call: ContextVar[Call] = ContextVar("current_call", default=NOBODY)
survivors: set["asyncio.Task[Any]"] = set()


def caller_of(context: Context) -> str:
    """The name of who calls, for example `gateway`."""
    del context
    return current_call.get().caller


def deadline_of(context: Context) -> float:
    """When the caller stops waiting, as a time of the event loop."""
    del context
    return current_call.get().deadline


def shielded(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For a handler that must finish what it began although its caller went away (F-41); the server's drain waits."""

    @wraps(method)
    async def survivor(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(method(*args, **kwargs))
        survivors.add(task)
        task.add_done_callback(_survivor_done)
        return await asyncio.shield(task)

    return survivor


def callers_by_token(tokens: Mapping[str, str]) -> Identify:
    """Who calls, by `authorization: Bearer <token>`. The seam for mTLS: it reads `context.auth_context()` instead."""
    # Looked up by digest, so that the time of a comparison tells nothing about a token.
    callers = {_digest(token): caller for caller, token in tokens.items() if token}

    def identify(context: Context, metadata: Mapping[str, str | bytes]) -> str:
        del context
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        caller = callers.get(_digest(token)) if scheme.lower() == "bearer" else None
        if caller is None:
            raise Unauthenticated
        return caller

    return identify


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _survivor_done(task: "asyncio.Task[Any]") -> None:
    survivors.discard(task)
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, DomainError):
        log.warning("shielded_call_failed", error=type(error).__name__)
