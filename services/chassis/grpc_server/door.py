"""The door in front of every method: deadline, caller, validation, errors, one log line and one observation per call.

Why: it is one wrapper put on when a service is registered, which costs less than a chain of interceptors.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, NamedTuple, NoReturn, TypeAlias, cast

import grpc
import grpc.aio
import protovalidate
from google.protobuf.message import Message

from services.chassis.defects import shown
from services.chassis.errors import (
    STATUS_DETAILS_KEY,
    Code,
    DeadlineExpired,
    DeadlineRequired,
    DependencyUnavailable,
    DomainError,
    InvalidField,
    to_rpc_status,
)
from services.chassis.grpc_server.calls import Call, Context, Identify, current_call
from services.chassis.grpc_server.nul import MUST_NOT, nul_paths
from services.chassis.telemetry import current_traceparent, get_logger, histogram, set_traceparent, trace_id

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

log = get_logger(__name__)
_seconds = histogram("call_seconds", "time of a call until its last message", ["method", "code"])
_LOGGED = 64  # characters of a request id, which may be anything as long as it was not validated
_GRPC_CODES: dict[Code, grpc.StatusCode] = {Code(status.value[0]): status for status in grpc.StatusCode}


class Received(NamedTuple):
    """A message as it came, and whether its bytes hold NUL anywhere: only then its texts are looked at."""

    request: Message
    has_nul: bool


class Door:
    """Wraps methods: deadline, caller, validation, errors, one log line and one observation per call."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._validate = protovalidate.Validator().collect_violations
        self._observers: dict[tuple[str, Code], Any] = {}
        self._streams: set[asyncio.Task[Any]] = set()
        self._is_draining = False

    def guard(self, method: str, handler: Handler) -> Handler:
        codecs = (_parsed_by(handler.request_deserializer), handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), *codecs)
        if handler.unary_stream is not None:
            streamed = cast(Callable[..., AsyncIterator[Message]], handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(self._stream(method, streamed), *codecs)
        raise TypeError(f"{method}: streams of requests have no door yet")

    def drain(self) -> None:
        """Streams would outlast any grace: their callers are told to come again."""
        self._is_draining = True
        for task in self._streams:
            task.cancel()

    def _unary(self, method: str, behaviour: Callable[..., Awaitable[Message]]) -> Callable[..., Awaitable[Message]]:
        async def answer(received: Received, context: Context) -> Message:
            started = perf_counter()
            request = received.request
            try:
                self._admit(received, context)
                response = await behaviour(request, context)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  (every call gets an answer)
                await self._refuse(error, method, request, context, started)
            self._record(method, Code.OK, "", request, started)
            return response

        return answer

    def _stream(
        self, method: str, behaviour: Callable[..., AsyncIterator[Message]]
    ) -> Callable[..., AsyncIterator[Message]]:
        async def answer(received: Received, context: Context) -> AsyncIterator[Message]:
            started = perf_counter()
            request = received.request
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                self._admit(received, context)
                async for response in behaviour(request, context):
                    yield response
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  (every call gets an answer)
                await self._refuse(error, method, request, context, started)
            finally:
                self._streams.discard(task)
            self._record(method, Code.OK, "", request, started)

        return answer

    def _admit(self, received: Received, context: Context) -> None:
        metadata = dict(context.invocation_metadata() or ())
        set_traceparent(str(metadata.get("traceparent", "")))
        caller = self._identify(context, metadata)
        remaining = context.time_remaining()
        if remaining is None:
            raise DeadlineRequired
        current_call.set(Call(caller, asyncio.get_running_loop().time() + remaining))
        violations = [_described(violation.proto) for violation in self._validate(received.request)]
        if received.has_nul:
            violations += ((path, MUST_NOT) for path in nul_paths(received.request))
        if violations:
            first, *more = violations
            raise InvalidField(*first, *more)

    async def _refuse(
        self, error: BaseException, method: str, request: Message, context: Context, started: float
    ) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):  # the handler chose its own status
            self._record(method, _code_of(context), "ABORTED_BY_HANDLER", request, started)
            raise error
        shown = self._shown(error, context, method)
        self._record(method, shown.code, shown.reason, request, started)
        status = to_rpc_status(shown)
        await context.abort(
            _GRPC_CODES[shown.code], status.message, ((STATUS_DETAILS_KEY, status.SerializeToString()),)
        )

    def _shown(self, error: BaseException, context: Context, method: str) -> DomainError:
        """What the caller may see of it."""
        if isinstance(error, DomainError):
            return error
        if isinstance(error, asyncio.CancelledError):
            return self._cancelled(context)
        return shown(error, "call", method=method)

    def _cancelled(self, context: Context) -> DomainError:
        """A cancellation needs an answer too: without one a client could wait for ever (F-42)."""
        task = asyncio.current_task()
        if context.time_remaining() == 0:
            return DeadlineExpired()
        if self._is_draining or task is None or not task.cancelling():
            return DependencyUnavailable("the call was interrupted; it may be repeated")
        return _Cancelled()

    def _record(self, method: str, code: Code, reason: str, request: Message, started: float) -> None:
        seconds = perf_counter() - started
        observe = self._observers.get((method, code))
        if observe is None:
            observe = self._observers[method, code] = _seconds.labels(method, code.name).observe
        observe(seconds)
        log.info(
            "call",
            method=method,
            code=code.name,
            reason=reason,
            caller=current_call.get().caller,
            request_id=getattr(request, "request_id", "")[:_LOGGED],
            trace_id=trace_id(current_traceparent()),
            duration_ms=round(seconds * 1000, 2),
        )


class _Cancelled(DomainError):
    """The caller cancelled."""

    code, reason = Code.CANCELLED, "CANCELLED"


def _parsed_by(deserialize: Callable[[bytes], Message] | None) -> Callable[[bytes], Received]:
    """The bytes are searched while they are at hand: to write a message anew only to look at it cost much more."""
    if deserialize is None:
        raise TypeError("a method without messages")
    return lambda raw: Received(deserialize(raw), b"\0" in raw)


def _described(violation: Any) -> tuple[str, str]:
    return _path(violation.field), violation.message or violation.rule_id


def _path(field: Any) -> str:
    """`lines[2].quantity`, `metadata["colour"]`."""
    path = ""
    for element in field.elements if field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        if (subscript := element.subscript) is not None:
            path += f'["{subscript.value}"]' if isinstance(subscript.value, str) else f"[{subscript.value}]"
    return path


def _code_of(context: Context) -> Code:
    status = cast("grpc.StatusCode | int | None", context.code())
    return Code(status.value[0] if isinstance(status, grpc.StatusCode) else status or Code.UNKNOWN)
